"""Reads files without a server: jobs, logs, and the record of a running server."""
