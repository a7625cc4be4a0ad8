"""A server's job manager: the parts that run jobs, use cases, outbox, leases, cluster."""
