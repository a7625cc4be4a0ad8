"""Calls that read a job's workers and changes, and the needs and the usage of all jobs."""
