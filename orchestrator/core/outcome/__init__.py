"""Outcomes of attempts, jobs, and merges; the decision on a retry; agents' accounts (throttles).

- ``job``: Outcome of a job: its status, its reason, and what its result lacks
"""
