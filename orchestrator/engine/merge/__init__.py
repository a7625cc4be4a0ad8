"""Merging the branches of a job's workers, and the gates on the merged state."""
