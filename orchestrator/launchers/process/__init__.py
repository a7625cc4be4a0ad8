"""Shared modules for processes, limits, and messages. Standard library only."""
