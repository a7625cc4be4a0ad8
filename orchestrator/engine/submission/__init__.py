"""Submission of a job: agents, plan, ancestors, storage."""
