"""The Model Context Protocol: the same tools over standard input and over ``POST /mcp``."""
