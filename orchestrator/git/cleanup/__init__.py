"""What goes, and what is kept, when a job is removed."""
