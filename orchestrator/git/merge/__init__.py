"""Merging commits and files without a checkout."""
