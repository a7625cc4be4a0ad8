"""Requests and responses: parsing, error answers, files, and metrics."""
