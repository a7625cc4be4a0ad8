"""Calls that list many jobs or workers, or show parts of one job."""
