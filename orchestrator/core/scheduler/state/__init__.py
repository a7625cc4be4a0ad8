"""The scheduler's state in memory: job trees, agents' accounts, and the unit of work."""
