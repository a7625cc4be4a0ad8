"""Commands that start, show and steer jobs."""
