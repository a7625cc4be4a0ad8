"""Decisions of people about a job: answers to questions of its tasks, and pauses."""
