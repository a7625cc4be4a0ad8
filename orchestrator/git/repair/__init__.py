"""Repairing repositories, worktrees, and refs that workers broke; rolling worktrees back."""
