"""Gates: their processes, and their runs on base commits."""
