"""Creating, finding, reusing, and removing worktrees."""
