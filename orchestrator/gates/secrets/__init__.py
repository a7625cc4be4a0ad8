"""The scan for secrets."""
