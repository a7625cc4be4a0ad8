"""Safe access to files, and the product's directories: its code, its home, temporary files."""
