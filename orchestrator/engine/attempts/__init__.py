"""Prepares, starts, and stops attempts, runs gates on their changes, and reads their results."""
