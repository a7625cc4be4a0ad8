"""One attempt: how it ended, and what it left."""
