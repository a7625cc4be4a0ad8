"""The domain: values, state machine and scheduling; standard library only, no I/O.

- ``candidates``: Several candidates for one task: selection, comparison, review
- ``gates``: What runs of gates mean: findings, two runs side by side, files, tampering
- ``limits``: What a job may use: settings within ceilings, admission, quotas, budgets
- ``locks``: Locks: names, the lock table, the lock manager, deadlocks, leases
- ``model``: The values that everything else speaks of: jobs, workers, states, submissions, agents
- ``outcome``: What an attempt came to, and whether it is tried again
- ``ports``: What the engine needs from outside, as Protocols; adapters match them by shape
- ``repository``: The port to the project's repository, and the names that jobs have in it
- ``scheduler``: The pure state machine: events in, commands out
- ``text``: Text made to fit where it stands, and JSON from elsewhere, read without trust
"""
