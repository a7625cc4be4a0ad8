"""Locks: names, the lock table, the lock manager, deadlocks, leases."""
