"""Which files there are, reading them, and what git knows of them."""
