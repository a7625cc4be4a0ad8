"""Locks: their names, the lock table, the order of grants, and deadlocks."""
