"""Following a running job in a terminal."""
