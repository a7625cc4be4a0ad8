"""Access control: keys, origins, rates, and the audit log."""
