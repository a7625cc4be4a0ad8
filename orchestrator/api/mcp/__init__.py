"""The MCP server. Standard input and ``POST /mcp`` offer the same tools."""
