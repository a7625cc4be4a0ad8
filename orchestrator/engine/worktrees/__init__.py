"""Worktrees of workers, checkpoints, the user's checkout."""
