"""What people decide about a job: its plan, questions of its tasks, pauses."""
