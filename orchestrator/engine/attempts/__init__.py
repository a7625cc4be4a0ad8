"""Attempts: start, stop, gates on the changes, results."""
