"""Job management: the use cases, the supervisor that owns all state, and the steps of an attempt.

- ``attempts``: Prepares, starts, and stops attempts, runs their gates, and reads their results
- ``gates``: Runs gates as processes, on changes and on base commits
- ``merge``: Merges the branches of a job's workers, and runs gates on the merged state
- ``planning``: Splits requests into tasks by rules
- ``runtime``: The server's messages, processes, clock, threads, memory, and disk; port numbers
- ``service``: Use cases that the API and the command line call
- ``submission``: Selects a new job's agents and gates, checks its plan, and stores the job
- ``supervisor``: The loop that owns the state of jobs; recovery, stored job trees, lock calls
- ``worktrees``: Worktrees of workers, checkpoints of worktrees, and the user's checkout
"""
