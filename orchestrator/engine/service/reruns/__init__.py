"""The use cases that run ended work again: retries, and feedback on a worker's change."""
