"""Commands that start and run the server, and parts of its process.

- ``systemd``: The server as a service of systemd: the command ``service`` and its units
"""
