"""Codex: its command line, its output, its sandbox and its session files."""
