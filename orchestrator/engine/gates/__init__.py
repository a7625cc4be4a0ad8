"""Running gates: which ones a job has, their processes, runs on the base."""
