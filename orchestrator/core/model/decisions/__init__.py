"""Decisions of people about a job: feedback, pauses."""
