"""Reading and creating commits of worktrees."""
