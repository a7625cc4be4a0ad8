"""Triggers: an external event starts a job, or is sent to a worker as feedback."""
