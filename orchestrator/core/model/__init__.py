"""The values that all packages share: jobs, tasks, workers, machines, and their states.

- ``attempt``: One attempt: its end, its usage, and its results
- ``human_input``: What people send to jobs: messages, feedback, pauses, and answers to questions
"""
