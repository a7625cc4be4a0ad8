"""Merges of the branches of a job's workers, and gates on the merged state."""
