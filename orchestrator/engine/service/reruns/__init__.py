"""The use cases that run work again: retry or cancel of one worker, and feedback on a change."""
