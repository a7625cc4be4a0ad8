"""The values that all packages share: jobs, workers, states, submissions, agents.

- ``attempt``: One attempt: its end and its results
- ``decisions``: What people decide about a job: feedback, pauses
"""
