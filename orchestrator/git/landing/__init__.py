"""Taking a job's result into the user's checkout, onto a branch, or to a pull request."""
