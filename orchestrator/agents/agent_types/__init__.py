"""What matches ``core.ports.Agent``: driven agents, programs and the shell."""
