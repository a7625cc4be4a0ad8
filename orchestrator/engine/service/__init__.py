"""Use cases that the API and the command line call.

- ``access``: Access to stored jobs, and changes of job trees
- ``human_input``: Use cases by which people control jobs and workers: plans, pauses, cancel
- ``read_models``: Use cases that list many jobs or workers, or read one job or worker
- ``reruns``: Use cases that run ended work again: feedback on a worker's change, checks
"""
