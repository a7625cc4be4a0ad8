"""Worktrees: where they are, making, reusing and mending them."""
