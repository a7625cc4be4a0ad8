"""What agents cost, which can work here and for which tasks."""
