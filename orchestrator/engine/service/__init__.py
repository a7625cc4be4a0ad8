"""Use cases that the API and the command line call.

- ``access``: Finds callers by their keys, and checks which jobs they may see and change
- ``control``: Use cases by which people control jobs, workers, and nodes, such as pause and drain
- ``queries``: Use cases that list many jobs or workers, or read one job or worker
- ``reruns``: Retries of jobs, feedback on changes, and checks whether ended work can run again
- ``triggers``: Triggers: external events that start jobs or give feedback; automatic pull requests
"""
