"""Comparing runs of a gate: on the base, on candidates, on a merged state."""
