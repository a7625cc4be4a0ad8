"""Running gates: which a job has, the processes, the runs on the base."""
