"""Commands for a job's changes: merge, diff, land, undo, apply, roll back."""
