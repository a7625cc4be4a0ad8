"""Gates: their selection for a job, their processes, and their runs on base commits."""
