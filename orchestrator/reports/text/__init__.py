"""Escaping text for Markdown and for terminals."""
