"""The text of ``config.yaml``: reads it, names its values by paths, and adds an API key."""
