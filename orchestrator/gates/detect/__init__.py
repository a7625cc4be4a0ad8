"""Detecting the gates of a project."""
