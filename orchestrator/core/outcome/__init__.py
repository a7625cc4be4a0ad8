"""Outcomes of attempts, jobs, and merges; the decision on a retry.

- ``job``: Outcome of a job: its status, its reason, and what its result lacks
"""
