"""Commands and parts around the server's process.

- ``systemd``: The server as a service of systemd: the command ``service``, units, notifications
"""
