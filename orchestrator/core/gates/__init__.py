"""Gates, and their results: findings, repeated runs, files, tampering."""
