"""Decisions of people about a job: approval of its plan, pauses."""
