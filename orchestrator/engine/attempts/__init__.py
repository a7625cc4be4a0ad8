"""Attempts under way: starting them, their gates, and what became of them."""
