"""Manages jobs: the use cases, the supervisor that owns all state, and the work around an attempt.

- ``attempts``: Attempts: preparation, start, stop, gates on the changes, results
- ``gates``: Gates: processes, and runs on the base
- ``merge``: Merges of the branches of a job's workers, and gates on the merged state
- ``planning``: Planning of a request by rules
- ``runtime``: Infrastructure: messages, processes, clock, threads, memory, disk, ports
- ``service``: Use cases that the API and the command line call
- ``submission``: Submission of a job: agents, gates, plan, ancestors, storage
- ``supervisor``: The supervisor, the one loop that owns state: inbox, recovery, publisher, leases
- ``worktrees``: Worktrees of workers, checkpoints of worktrees, and the user's checkout
"""
