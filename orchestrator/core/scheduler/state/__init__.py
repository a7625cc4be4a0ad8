"""The state that one turn reads and changes: job trees, task progress, unit of work."""
