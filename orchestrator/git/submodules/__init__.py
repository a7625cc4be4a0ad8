"""Submodules: in worktrees, and the user's own."""
