"""The engine's values as JSON answers."""
