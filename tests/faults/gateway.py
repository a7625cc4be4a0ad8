"""A relay to a server. A test closes the relay to simulate a failed server or network."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Maximum number of bytes that are forwarded at once.
PIECE_BYTES = 65536


class Gateway:
    """Forwards connections to ``port`` of the loopback address, in its own thread."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        #: The other end of each socket.
        self._others: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._changed = threading.Condition()
        self._is_open = self._should_be_open = True
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def shut(self) -> None:
        """Close every connection, and refuse new ones until ``open``. Return when this is done."""
        self._set_open(False)

    def open(self) -> None:
        self._set_open(True)

    @contextmanager
    def closed(self) -> Iterator[None]:
        self.shut()
        try:
            yield
        finally:
            self.open()

    def close(self) -> None:
        self.shut()
        self._ended = True
        self._thread.join(10)

    def _set_open(self, is_open: bool) -> None:
        with self._changed:
            self._should_be_open = is_open
            assert self._changed.wait_for(lambda: self._is_open == is_open, 20)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        return listener

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(0.02):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                self._accept() if ready is self._listener else self._pass_on(ready)
            with self._changed:
                if self._should_be_open != self._is_open:
                    self._apply()
                    self._changed.notify_all()

    def _apply(self) -> None:
        if self._should_be_open:
            self._listener = self._listen(self.port)
            self._selector.register(self._listener, selectors.EVENT_READ)
        else:
            self._drop(self._listener)
            for each in list(self._others):
                self._drop(each)
        self._is_open = self._should_be_open

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(self._target, timeout=10)
        self._others |= {near: far, far: near}
        for each in (near, far):
            self._selector.register(each, selectors.EVENT_READ)

    def _pass_on(self, ready: socket.socket) -> None:
        # None if this round of the loop has already closed both ends.
        other = self._others.get(ready)
        if other is None:
            return
        with suppress(OSError):
            if piece := ready.recv(PIECE_BYTES):
                other.sendall(piece)
                return
        self._drop(ready)
        self._drop(other)

    def _drop(self, end: socket.socket) -> None:
        self._others.pop(end, None)
        self._selector.unregister(end)
        end.close()
