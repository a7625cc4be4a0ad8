"""The tools of a loop: read, write, edit, list, search, and bash.

The agent's policy limits each tool.
"""
