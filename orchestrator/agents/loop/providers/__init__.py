"""One module for each provider's dialect, and what they share."""
