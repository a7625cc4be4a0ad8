"""The port to the project's repository, and the names that jobs have in it."""
