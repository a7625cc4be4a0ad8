"""The process of a node: its join file, its launcher, and its end of the link to the server."""
