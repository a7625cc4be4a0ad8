"""The stored record of a merge, and its text for people."""
