"""The processes that fork shims and outlive the server. Standard library only."""
