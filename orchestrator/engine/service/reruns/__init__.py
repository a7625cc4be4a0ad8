"""The use cases that run work again: retries of one worker, or its cancel, and feedback on a change."""
