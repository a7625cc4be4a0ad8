"""Outcome of a job: its status, its reason, and what its result lacks."""
