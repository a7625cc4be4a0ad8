"""Attempts: preparation, start, stop, gates on their changes, results, and prompts of reviewers."""
