"""Worktrees: their locations; creating, reusing and repairing them."""
