"""``/api/v1/tasks``: one description for several command-line tools, as other tools submit it.

An adapter on the service: a task is a job with one task and its candidates, and a label.
"""
