"""The state that one turn reads and changes: job trees, unit of work."""
