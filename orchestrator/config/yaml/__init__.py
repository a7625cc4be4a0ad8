"""The text of ``config.yaml``: read without and with PyYAML, and given an API key."""
