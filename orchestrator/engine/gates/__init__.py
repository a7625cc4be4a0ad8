"""Gates: selection for a job, processes, runs on the base."""
