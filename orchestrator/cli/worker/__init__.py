"""Commands for workers: ``spawn`` and ``lock``, which need no packages, and ``mcp``."""
