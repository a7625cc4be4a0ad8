"""Settings of a loop."""
