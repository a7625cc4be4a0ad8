"""The launcher of this machine, on the server's side."""
