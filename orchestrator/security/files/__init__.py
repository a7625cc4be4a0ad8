"""Safe access to files, and the directories of the product: home, temporary files, own files."""
