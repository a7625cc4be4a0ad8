"""Outcomes of attempts, jobs, and merges; the decision on a retry; agents' logins and throttles.

- ``job``: Outcome of a job: its status, its reason, and what its result lacks
"""
