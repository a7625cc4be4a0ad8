"""Commands for a job's changes: diff, merge, land, undo, roll back, discard, clean."""
