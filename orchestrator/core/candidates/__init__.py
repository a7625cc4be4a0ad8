"""Several candidates for one task: selection, comparison, review."""
