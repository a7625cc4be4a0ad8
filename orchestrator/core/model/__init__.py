"""The values that everything else speaks of: jobs, workers, states, submissions, agents.

- ``attempt``: One attempt: how it ended, and what it left
"""
