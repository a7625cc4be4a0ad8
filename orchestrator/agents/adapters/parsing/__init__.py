"""What the readers of all programs share: usage, outcomes, failures, lines for a log."""
