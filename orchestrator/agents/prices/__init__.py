"""Prices of models: the built-in table, and the cost of a usage."""
