"""OpenCode: its command line and its output."""
