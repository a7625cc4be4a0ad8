"""Running git: its settings, its locks, names of refs."""
