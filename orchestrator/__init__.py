"""A recursive, hierarchical job orchestrator with a filesystem workspace."""

__version__ = "0.1.0"
