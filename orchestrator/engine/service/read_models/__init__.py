"""The use cases that list many jobs or workers, or show parts of one job or worker."""
