"""Runs of a gate side by side: on the base, on candidates, on a merged state."""
