"""The use cases that only read: lists of jobs or workers, or one job or worker."""
