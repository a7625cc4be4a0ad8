"""The user's own checkout and refs: read, not written."""
