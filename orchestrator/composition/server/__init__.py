"""A server's job manager: use cases, outbox, leases, cluster, and parts that run jobs."""
