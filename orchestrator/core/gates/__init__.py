"""Gates, and their results: findings, repeated runs, kinds of files, tampering."""
