"""Reads jobs from their files, without a server."""
