"""Splits requests into tasks by rules, without AI."""
