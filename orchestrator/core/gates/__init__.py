"""Results of gates: findings, repeated runs, files, tampering."""
