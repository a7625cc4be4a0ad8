"""Access to stored jobs: which jobs a caller may see and change."""
