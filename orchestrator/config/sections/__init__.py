"""One module for each section of the settings, with defaults, bounds, and descriptions."""
