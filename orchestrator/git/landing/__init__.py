"""Landing a job's result: in the user's checkout, on a branch, or as a pull request."""
