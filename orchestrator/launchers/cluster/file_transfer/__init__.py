"""Files of attempts on nodes with their own file systems."""
