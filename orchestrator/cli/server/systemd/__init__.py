"""The server as a service of systemd: the command ``service`` and its units."""
