"""What people decide about a job: feedback, pauses."""
