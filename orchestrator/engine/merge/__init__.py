"""Merges of the branches of a job's workers, and gates on the merged state.

- ``record``: The stored record of a merge, and its text for people
"""
