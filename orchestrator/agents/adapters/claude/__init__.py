"""Claude Code: its command line and its output."""
