"""Reads the text of ``config.yaml``, gives each value a path, and adds an API key."""
