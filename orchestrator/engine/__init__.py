"""The job manager: use cases, the one loop that owns state, planning."""
