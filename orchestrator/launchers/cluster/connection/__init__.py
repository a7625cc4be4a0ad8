"""The connection of a node to the server: messages, tunnels, certificates, addresses, leases."""
