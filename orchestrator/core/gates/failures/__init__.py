"""What two failures of tests have in common."""
