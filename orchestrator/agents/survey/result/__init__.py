"""The survey's result, as values and as a file."""
