"""The job manager: use cases, the one loop that owns state, planning.

- ``attempts``: Running attempts: starts, stops, gates on their changes, and results
- ``gates``: Running gates: which ones a job has, their processes, runs on the base
- ``merge``: Merging the branches of a job's workers, and the gates on the merged state
- ``planning``: Splitting a request into tasks by rules; reviewers' prompts
- ``preparation``: What an attempt needs before its process starts: directory, files, environment
- ``runtime``: What the engine runs on: messages, processes, clock, threads, memory, disk, ports
- ``service``: The use cases: what the API and the command line call
- ``submission``: From a submission to a stored job: its agents, its plan, its ancestors
- ``supervisor``: The one loop that owns state: inbox, recovery, publisher, leases
- ``worktrees``: Where workers work: worktrees, checkpoints, the user's checkout
"""
