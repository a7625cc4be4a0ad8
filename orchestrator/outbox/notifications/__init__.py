"""Notifications to people: a job needs a person, or has ended."""
