"""The supervisor: the one loop that owns the state of jobs. Also recovery and lock calls."""
