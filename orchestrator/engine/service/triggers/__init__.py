"""Triggers: external events that start jobs or give feedback; automatic pull requests."""
