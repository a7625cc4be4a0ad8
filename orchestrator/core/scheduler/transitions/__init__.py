"""One module for each kind of event that changes state."""
