"""The parts of ``tests/support/soak.py``."""
