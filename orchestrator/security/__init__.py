"""API keys, masking of secrets, the environment of workers, and safe access to files."""
