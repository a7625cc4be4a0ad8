"""Use cases that list many jobs or workers."""
