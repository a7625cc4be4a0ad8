"""Settings converted to parts: agents, gates, receivers, triggers, the repository."""
