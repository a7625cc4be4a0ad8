"""The port to the project's repository, and the names of a job's refs in it."""
