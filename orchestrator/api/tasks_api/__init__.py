"""``/api/v1/tasks``: runs one task with several command-line tools, in parallel.

A task of this API is a job with a label, one task, and one candidate for each tool.
"""
