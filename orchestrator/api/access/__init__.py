"""Access control: keys, origins, rate limits, and the audit log."""
