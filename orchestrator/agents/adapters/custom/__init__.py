"""A program that the user configured: its command line and its output."""
