"""Commands for workers: ``spawn``, ``lock`` and MCP. The first two need no installed package."""
