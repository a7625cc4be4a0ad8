"""The calls, by subject.

- ``read_models``: Calls that list many jobs or workers, or show parts of one
- ``workers``: Calls for one worker: feedback, checkpoints
"""
