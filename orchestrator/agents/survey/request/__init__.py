"""The request: its intent, and the paths that it names."""
