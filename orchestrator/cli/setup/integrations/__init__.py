"""Commands for other services: incoming events (triggers), and outgoing messages."""
