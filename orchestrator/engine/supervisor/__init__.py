"""The supervisor: the one loop that owns the state of jobs.

This package also has the recovery after a crash, the changes of stored job trees, and the calls
that acquire and release locks.
"""
