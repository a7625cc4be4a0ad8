"""The process that runs attempts, one at a time. Standard library only."""
