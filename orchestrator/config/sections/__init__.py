"""Sections of the settings with entries of their own: agents, triggers, receivers."""
