"""The supervisor, the one loop that owns state: inbox, recovery, publisher, leases."""
