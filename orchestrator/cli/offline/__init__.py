"""Jobs read from their files, without a server."""
