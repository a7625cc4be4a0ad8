"""Submission of a job: selects agents and gates, checks plan and ancestors, and stores the job."""
