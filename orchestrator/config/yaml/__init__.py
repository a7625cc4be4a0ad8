"""The text of ``config.yaml``: paths of its values, reading it, and adding an API key."""
