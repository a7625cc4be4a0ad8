"""Cutting and formatting text, patterns of paths, and reading untrusted JSON."""
