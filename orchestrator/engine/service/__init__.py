"""Use cases that the API and the command line call.

- ``decisions``: Use cases by which people control a job: approval, pauses, cancel
- ``read_models``: Use cases that list many jobs or workers, or show parts of one
- ``reruns``: Use cases that run ended work again: retries, and feedback on a worker's change
"""
