"""One module for each provider's dialect, and their shared parts."""
