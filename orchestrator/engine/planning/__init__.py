"""Splitting a request into tasks by rules; reviewers' prompts."""
