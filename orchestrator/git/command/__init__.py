"""Running git: its settings, its locks, names of refs; reading the user's checkout."""
