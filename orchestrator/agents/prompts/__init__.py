"""Texts that agents read: first the job's shared context, then the worker's own part.

The shared context is the same for all workers of a job, byte for byte. It contains a digest of the
project, so a separate process (``python -m`` this package) creates it once for each job. See
``docs/reference/prompts.md``.
"""
