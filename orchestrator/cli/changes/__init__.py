"""Commands for a job's changes: merge, diff, land, undo, discard, apply, roll back."""
