"""The tools of a loop: read, write, edit, list, search, bash, and tools for child jobs.

The agent's policy limits each tool.
"""
