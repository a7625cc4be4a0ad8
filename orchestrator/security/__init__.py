"""Keys, redaction, the environment of workers, and paths that cannot be tricked."""
