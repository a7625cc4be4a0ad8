"""Preparation of an attempt: directory, files, environment."""
