"""The scheduler's state in memory: job trees, and the unit of work."""
