"""One attempt: its end, its usage, and its results."""
