"""The server's side: the launcher of this machine."""
