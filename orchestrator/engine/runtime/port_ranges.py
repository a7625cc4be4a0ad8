"""Port ranges: each worker has its own range, so that test servers of workers do not conflict."""

import os
import socket
import threading

#: First and last port of workers. Linux uses only higher ports for outgoing connections.
FIRST_PORT, LAST_PORT = 20_000, 32_000
#: Number of ports of one worker.
PORTS_PER_WORKER = 10
_PORT_RANGES = (LAST_PORT - FIRST_PORT) // PORTS_PER_WORKER


class PortRanges:
    """Allocates ranges of ports to the workers of one server. Any thread may call.

    Each worker has its own range, so that test servers of two workers do not conflict.
    Workers of an earlier server may still use ranges that this object does not know. To avoid these
    ranges, call ``take`` with ``skip_used``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: For each attempt, the index of its range; in the order of allocation.
        self._held: dict[str, int] = {}
        self._taken: set[int] = set()
        # Start at a random range, so that workers of other projects probably use other ports.
        self._next = int.from_bytes(os.urandom(2), "big") % _PORT_RANGES

    def take(self, attempt: str, *, skip_used: bool) -> int:
        """Allocate a range of ports to an attempt, and return the range's first port.

        ``skip_used``: True to skip a range if another program uses one of its ports. If no range is
        free, return a range that is in use.
        """
        with self._lock:
            for _ in range(_PORT_RANGES):
                number, self._next = self._next, (self._next + 1) % _PORT_RANGES
                if number not in self._taken and not (skip_used and _is_range_used(number)):
                    break
            self._held[attempt] = number
            self._taken.add(number)
            return FIRST_PORT + number * PORTS_PER_WORKER

    def release(self, attempt: str) -> None:
        """Release the attempt's range. Idempotent."""
        with self._lock:
            number = self._held.pop(attempt, None)
            if number is not None:
                self._taken.discard(number)


def _is_range_used(number: int) -> bool:
    first_port = FIRST_PORT + number * PORTS_PER_WORKER
    return not all(map(_is_port_free, range(first_port, first_port + PORTS_PER_WORKER)))


def _is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
