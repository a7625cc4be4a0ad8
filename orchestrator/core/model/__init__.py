"""The values that all packages share: jobs, tasks and their graph, workers, states.

- ``attempt``: One attempt: its end and its results
"""
