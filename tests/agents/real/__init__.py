"""The real tools from npm, which a server runs with the stub model API."""
