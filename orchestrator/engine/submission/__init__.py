"""Submission of a job: selects agents, checks the plan and the ancestors, and stores the job."""
