"""Parsing the reports of tools, by format."""
