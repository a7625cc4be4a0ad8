"""Aider: its command line and its output."""
