"""Ports for servers that tests start."""

import random
import socket
from contextlib import suppress

#: Linux gives outgoing connections higher ports, so no connection takes a port of this range before
#: the server listens on it. Ports of workers start at 20,000.
_PORTS = range(12_000, 20_000)


def free_port() -> int:
    """Return a port on which no server listens, chosen at random."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
