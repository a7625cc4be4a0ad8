"""Who may call: keys, origins, rates, and the audit log."""
