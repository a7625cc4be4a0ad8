"""Repairing what workers broke: repositories, worktrees, refs."""
