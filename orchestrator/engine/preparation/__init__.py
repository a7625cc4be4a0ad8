"""What an attempt needs before its process starts: directory, files, environment."""
