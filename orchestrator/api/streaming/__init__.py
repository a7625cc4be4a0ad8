"""Long answers: event streams, followed logs, bounded waits."""
