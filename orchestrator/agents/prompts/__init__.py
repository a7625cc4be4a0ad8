"""Texts that agents read: first the shared context of all workers of a job, byte for byte equal,
then the worker's own part.

A separate process (``python -m`` this package) creates the first part once for each job, because
it contains a digest of the project; see ``docs/reference/prompts.md``.
"""
