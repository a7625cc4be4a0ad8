"""Ignored files, environments and packages of a project, in its worktrees."""
