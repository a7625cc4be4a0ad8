"""The scheduler's state in memory: job trees, agents' logins, and the unit of work."""
