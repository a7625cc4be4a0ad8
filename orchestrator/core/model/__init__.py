"""The values that all packages share: jobs, workers, states, submissions, agents.

- ``attempt``: One attempt: its end and its results
"""
