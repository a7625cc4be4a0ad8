"""Agents: what turns a task into a command, and what was left into evidence."""
