"""Reads files without a call to the server: jobs, logs, and the record of a running server."""
