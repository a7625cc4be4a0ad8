"""Comparing two failures of tests."""
