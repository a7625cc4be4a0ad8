"""One module for each provider's API, and their shared parts: turns, instructions."""
