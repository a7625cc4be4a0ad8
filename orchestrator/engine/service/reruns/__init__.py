"""The use cases that run work again: retries of jobs, and feedback on changes; shared checks."""
