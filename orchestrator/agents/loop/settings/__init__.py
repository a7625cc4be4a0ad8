"""Settings of a loop, and its limits on usage."""
