"""The start of a job: the base commit, and uncommitted work."""
