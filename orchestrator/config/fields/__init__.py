"""Types of settings, and the checks of their texts."""
