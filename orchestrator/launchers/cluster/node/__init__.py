"""The process of a node: its launcher, and its end of the link to the server."""
