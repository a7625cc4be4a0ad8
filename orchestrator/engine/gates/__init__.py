"""Runs gates as processes, on changes and on base commits."""
