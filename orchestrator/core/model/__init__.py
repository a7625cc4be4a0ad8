"""The values that all packages share: jobs, tasks, workers, machines, and their states.

- ``attempt``: One attempt: its end and its results
"""
