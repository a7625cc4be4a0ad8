"""Commands that start, show, and control jobs."""
