"""Running git, with its settings, locks, and refs; reading the user's checkout."""
