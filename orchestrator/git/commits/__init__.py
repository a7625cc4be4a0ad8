"""Reading and making commits of worktrees."""
