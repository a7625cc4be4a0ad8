"""Triggers: events from outside that start a job, or come back as feedback."""
