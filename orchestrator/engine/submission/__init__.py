"""Submission of a job: selects its agents and gates, checks its plan and limits, and stores it."""
