"""Triggers: external events that start a job, or are sent as feedback."""
