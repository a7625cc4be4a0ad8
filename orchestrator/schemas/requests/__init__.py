"""Requests of callers."""
