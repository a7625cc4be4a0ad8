"""Removal of a job: deleted worktrees and refs, saved work."""
