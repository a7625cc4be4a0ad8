"""Which files are code, sources, or parts of a test suite."""
