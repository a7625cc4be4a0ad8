"""Worktrees of workers, checkpoints of worktrees, and the user's checkout."""
