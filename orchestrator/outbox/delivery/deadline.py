"""A deadline for a whole exchange with a server, from the connection to the end of the answer.

The timeouts of ``requests`` and ``smtplib`` limit only each read, so a slow server can extend the
exchange without end.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import requests
    from urllib3 import HTTPConnectionPool


class Deadline:
    """Closes connections at a deadline, even if the server keeps sending bytes.

    Use it as a context manager, and only once.
    """

    def __init__(self, seconds: float, session: "requests.Session | None" = None) -> None:
        """``seconds``: time from the start of the ``with`` block to the deadline.

        ``session``: a session of ``requests``. Its connections are closed at the deadline.
        """
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        #: Duplicates of the watched sockets. If TLS wraps a socket, only the duplicate and the
        #: wrapper still refer to the connection.
        self._sockets: list[socket.socket] = []
        #: True after the deadline.
        self.has_expired = False
        for adapter in session.adapters.values() if session is not None else ():
            adapter.poolmanager.pool_classes_by_scheme = _pools(self.watch)  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for each in self._sockets:
                each.close()
            self._sockets.clear()

    def watch(self, connected: socket.socket) -> socket.socket:
        """Close the connection of a socket at the deadline. Return the socket at once."""
        with self._lock:
            self._sockets.append(connected.dup())
        if self.has_expired:
            self._end()
        return connected

    def _end(self) -> None:
        self.has_expired = True
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


def _pools(
    watch: Callable[[socket.socket], socket.socket],
) -> "Mapping[str, type[HTTPConnectionPool]]":
    """Return classes of urllib3's connection pools, by URL scheme.

    Connections of these pools pass each new socket to ``watch``, and use the returned socket.
    """
    # Imported here, because most servers send nothing.
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return watch(super()._new_conn())

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return watch(super()._new_conn())

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
