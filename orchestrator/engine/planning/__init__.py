"""Planning of a request by rules."""
