"""Job kinds, invariants, and the disk of ``tests/support/soak.py``."""
