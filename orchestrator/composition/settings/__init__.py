"""Creates agents, gates, receivers, triggers, and the repository from settings."""
