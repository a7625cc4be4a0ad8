"""Running git, with its settings, locks, and refs."""
