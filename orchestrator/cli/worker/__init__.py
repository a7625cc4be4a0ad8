"""Commands for workers: ``spawn`` and ``lock``, without installed packages, and MCP."""
