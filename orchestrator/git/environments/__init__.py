"""Ignored files, environments, and packages that worktrees get from the checkout."""
