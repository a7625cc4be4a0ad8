"""The port to the project's repository, and the names of a job's branches and refs."""
