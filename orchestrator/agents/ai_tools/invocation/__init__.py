"""How an agent's program is started: arguments, environment, the user's own files."""
