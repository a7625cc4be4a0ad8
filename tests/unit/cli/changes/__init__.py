"""Commands for a job's changes."""
