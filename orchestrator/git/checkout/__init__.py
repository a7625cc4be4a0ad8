"""Reading the user's checkout: its state, git's status, ignored files, and ref logs."""
