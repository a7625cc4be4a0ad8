"""One attempt: its end and its results."""
