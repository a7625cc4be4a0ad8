"""Shows the progress of jobs in a terminal.

- ``top``: The command ``top``: a live screen of all jobs and workers
"""
