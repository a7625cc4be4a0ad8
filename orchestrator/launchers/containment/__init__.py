"""How a worker's processes are kept together: one module for each mode."""
