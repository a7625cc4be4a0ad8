"""Numbers of a job: usage, time, the critical path."""
