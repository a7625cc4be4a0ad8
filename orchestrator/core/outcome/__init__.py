"""Outcomes of attempts and jobs, the decision on a retry, and agents' accounts (throttles).

- ``job``: Outcome of a job: its status, its reason, and what its result lacks
"""
