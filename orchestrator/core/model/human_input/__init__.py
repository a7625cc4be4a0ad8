"""What people send to jobs: messages, feedback, pauses, and answers to questions. Frozen values."""
