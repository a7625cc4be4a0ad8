"""The text of ``config.yaml``: read, and given an API key."""
