"""Running attempts: starts, stops, gates on their changes, and results."""
