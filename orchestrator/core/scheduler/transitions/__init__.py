"""One module for each kind of event that changes state.

- ``decisions``: Decisions of people about a job: approval of its plan, pauses
"""
