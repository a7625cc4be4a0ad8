"""Reads jobs, logs, and the record of a running server from files, without a call to the server."""
