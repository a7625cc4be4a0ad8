"""The use cases that run work again: feedback on a change, and the checks of every rerun."""
