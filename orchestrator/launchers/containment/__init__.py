"""Containment of a worker's processes, with one module for each mode."""
