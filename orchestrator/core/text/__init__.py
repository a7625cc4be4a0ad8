"""Cutting and formatting text, and reading untrusted JSON."""
