"""What a job came to: its status, its reason, and what its result lacks."""
