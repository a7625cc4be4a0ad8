"""Use cases that the API and the command line call.

- ``access``: Access to stored jobs, and changes of job trees
- ``control``: Use cases by which people control jobs and workers, such as pause and cancel
- ``queries``: Use cases that list many jobs or workers, or read one job or worker
- ``reruns``: Feedback on a worker's change, and checks whether ended work can run again
- ``triggers``: Triggers: external events that start jobs or give feedback; automatic pull requests
"""
