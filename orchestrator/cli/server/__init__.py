"""Commands and parts around the server's process."""
