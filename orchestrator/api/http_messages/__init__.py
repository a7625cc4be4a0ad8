"""Requests and responses: parsing, problems, files, metrics."""
