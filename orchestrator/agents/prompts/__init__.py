"""Texts that agents read: first the shared context of all workers of a job, byte for byte equal,
then the worker's own part.

The first part is made once for each job, by a separate process (``python -m`` this package),
because it holds a digest of the project; see ``docs/reference/prompts.md``.
"""
