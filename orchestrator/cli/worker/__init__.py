"""Commands for workers: ``spawn``, ``lock`` and MCP; the first two need no package."""
