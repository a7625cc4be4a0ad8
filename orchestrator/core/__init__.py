"""The domain: values, state machine, and scheduling. Uses only the standard library.

No I/O, except that ``text.field_descriptions`` reads source files.

- ``candidates``: Several candidates for one task: selection, comparison, review
- ``gates``: Gates, and their results: findings, repeated runs, kinds of files, tampering
- ``limits``: Limits of jobs and API keys: admission, ceilings on settings, quotas, and caps
- ``locks``: Locks: their names, the lock table, the order of grants, and deadlocks
- ``model``: The values that all packages share: jobs, tasks, workers, machines, and their states
- ``outcome``: Outcomes of attempts, jobs, and merges; the decision on a retry
- ``ports``: Protocols of the services that the engine needs; adapters implement them
- ``repository``: The port to the project's repository, and the names of a job's branches and refs
- ``scheduler``: The pure state machine: events in, commands out
- ``text``: Functions that cut and format text, match paths with patterns, and read untrusted JSON
"""
