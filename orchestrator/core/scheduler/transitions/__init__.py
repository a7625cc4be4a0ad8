"""One module for each kind of event that changes state.

- ``human_input``: What people decide about a job: its plan, questions of its tasks, pauses
"""
