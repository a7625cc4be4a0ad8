"""Shared parts of all readers: usage, outcomes, failures, lines for a log."""
