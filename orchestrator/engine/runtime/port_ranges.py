"""Ranges of ports: each worker has its own, so that test servers of two workers do not conflict."""

import os
import socket
import threading

#: First and last port. Both are below the ports that Linux uses for outgoing connections.
FIRST, LAST = 20_000, 32_000
#: Number of ports of one worker.
SIZE = 10
_RANGES = (LAST - FIRST) // SIZE


class PortRanges:
    """Allocates ranges of ports to the workers of one server. Any thread may call.

    Workers of an earlier server may still use ranges. Open ports show which ranges they use.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: First port of each attempt's range, in the order of allocation.
        self._held: dict[str, int] = {}
        self._taken: set[int] = set()
        # Start at a random range, so that workers of other projects probably use other ports.
        self._next = int.from_bytes(os.urandom(2), "big") % _RANGES

    def take(self, attempt: str, *, skip_used: bool) -> int:
        """Allocate a range of ports to an attempt, and return the range's first port.

        ``skip_used``: True to skip a range if another program uses one of its ports.
        """
        with self._lock:
            for _ in range(_RANGES):
                number, self._next = self._next, (self._next + 1) % _RANGES
                if number not in self._taken and not (skip_used and _is_used(number)):
                    break
            self._held[attempt] = number
            self._taken.add(number)
            return FIRST + number * SIZE

    def release(self, attempt: str) -> None:
        """Release the attempt's range. Idempotent."""
        with self._lock:
            number = self._held.pop(attempt, None)
            if number is not None:
                self._taken.discard(number)


def _is_used(number: int) -> bool:
    first = FIRST + number * SIZE
    return not all(map(_is_free, range(first, first + SIZE)))


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
