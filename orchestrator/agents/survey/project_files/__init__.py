"""Files of the project: listing, reading, and their git history."""
