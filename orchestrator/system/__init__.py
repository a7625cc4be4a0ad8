"""The operating system and the network: processes, IP addresses, and HTTP calls with a key.

- ``http_client``: HTTP calls with a key, for programs that must start fast

``ip_addresses`` recognizes addresses of this machine. ``process_table`` reads processes from /proc.
"""
