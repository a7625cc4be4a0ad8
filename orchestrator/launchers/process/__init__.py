"""Shared modules: processes, limits, framing. Standard library only."""
