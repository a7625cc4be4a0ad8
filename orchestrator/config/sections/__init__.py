"""Sections of the settings that have lists of entries: agents, triggers, receivers."""
