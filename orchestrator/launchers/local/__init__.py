"""The server's launcher for workers on this machine."""
