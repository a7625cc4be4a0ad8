"""Implementations of ``core.ports.Agent``: driven agents, programs and the shell."""
