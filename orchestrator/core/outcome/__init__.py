"""Outcomes of attempts and jobs, and the decision on a retry.

- ``job``: Outcome of a job: its status, its reason, and what its result lacks
"""
