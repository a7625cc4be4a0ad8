"""Texts that agents read: first the job's shared context, then the worker's own part.

All workers of a job get the same bytes of shared context. A separate process (``python -m`` this
package) creates the shared context once for each job, because a digest of the project takes a few
seconds. See ``docs/reference/prompts.md``.
"""
