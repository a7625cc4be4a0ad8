"""What an agent is given to read: what is the same for all workers of a job first, byte for byte,
then what is a worker's own.

The first part is made once for each job, by a process of its own (``python -m`` this package),
because it holds a digest of the project; see ``docs/prompts.md``.
"""
