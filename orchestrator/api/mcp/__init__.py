"""The MCP server: standard input and ``POST /mcp`` offer the same tools."""
