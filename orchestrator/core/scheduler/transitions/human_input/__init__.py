"""What people decide about a job: questions of its tasks, pauses."""
