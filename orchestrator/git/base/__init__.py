"""What a job starts from: the base commit, and uncommitted work."""
