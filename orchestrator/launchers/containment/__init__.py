"""Containment of a worker's processes: one module for each mode."""
