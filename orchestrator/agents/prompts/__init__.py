"""Texts that agents read: first the job's shared context, then the worker's own part.

All workers of a job get the same bytes of shared context. It contains a digest of the project, so a
separate process (``python -m`` this package) creates it once for each job. See
``docs/reference/prompts.md``.
"""
