"""Writers of waiting connections: to a socket, or in a waiting thread of the HTTP server."""

import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Protocol

from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.core.lazy_dataclass import dataclass

#: Bytes of a stream's send buffer. The buffer is small, so that a slow reader is noticed before
#: megabytes are unread.
SEND_BUFFER_BYTES = 128 * 1024
SEND_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A complete answer to one request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def encoded(self) -> bytes:
        fixed = (("Content-Length", str(len(self.body))), ("Connection", "close"))
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *fixed)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class WriterOwner(Protocol):
    """The receiver of a writer's events. Called in the socket loop's thread."""

    def drained(self) -> None:
        """Called when all written data has been sent."""

    def disconnected(self) -> None:
        """Called when the reader has disconnected."""


class ResponseWriter(Protocol):
    """The output of a waiting connection. Writing to the output does not block.

    Used in the socket loop's thread only.
    """

    #: Number of written bytes that are not sent yet.
    pending: int
    #: Time when bytes were last sent (monotonic seconds).
    progress_at: float

    def attach(self, owner: WriterOwner) -> None: ...

    def write(self, piece: bytes) -> None: ...

    def respond(self, reply: Reply) -> None:
        """Send a complete answer, and end the output."""

    def finish(self) -> None:
        """End the output after all data has been sent."""

    def abort(self) -> None:
        """End the output at once. Idempotent."""


class SocketWriter:
    """Writes to a connection that was detached from the HTTP server."""

    def __init__(
        self, socket_loop: SocketLoop, connection: socket.socket, *, chunked: bool
    ) -> None:
        self.socket = connection
        self.pending = 0
        self.progress_at = time.monotonic()
        self._socket_loop = socket_loop
        self._chunked = chunked
        self._pieces: deque[memoryview] = deque()
        self._finishing = False
        self._writing = False
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def attach(self, owner: WriterOwner) -> None:
        self._owner = owner
        self._socket_loop.watch(self)

    def write(self, piece: bytes) -> None:
        if piece:
            self._put(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    def respond(self, reply: Reply) -> None:
        self._chunked = False
        self._finishing = True
        self._put(reply.encoded())

    def finish(self) -> None:
        self._finishing = True
        if self._chunked:
            self._put(b"0\r\n\r\n")
        elif not self.pending:
            self._owner.disconnected()

    def abort(self) -> None:
        self._socket_loop.forget(self)
        self.socket.close()
        self._pieces.clear()
        self.pending = 0

    def ready(self, mask: int) -> None:
        if mask & selectors.EVENT_READ and self._reader_is_gone():
            self._owner.disconnected()
        elif mask & selectors.EVENT_WRITE:
            self._flush()
            self._after_flush()

    def _put(self, wire: bytes) -> None:
        was_waiting = bool(self._pieces)
        self._pieces.append(memoryview(wire))
        self.pending += len(wire)
        if not was_waiting:
            self._flush()
            # Call the owner later, because the owner is still writing.
            self._socket_loop.call_soon(self._after_flush)

    def _flush(self) -> None:
        try:
            while self._pieces:
                sent = self.socket.send(self._pieces[0][:SEND_PIECE_BYTES])
                self._note_sent(sent)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._pieces.clear()
            self._finishing, self.pending = True, 0

    def _note_sent(self, sent: int) -> None:
        self.pending -= sent
        self.progress_at = time.monotonic()
        if sent == len(self._pieces[0]):
            self._pieces.popleft()
        else:
            self._pieces[0] = self._pieces[0][sent:]

    def _after_flush(self) -> None:
        if self.socket.fileno() < 0:
            return
        if self._writing != bool(self._pieces):
            self._writing = bool(self._pieces)
            self._socket_loop.watch(self, writing=self._writing)
        if self._pieces:
            return
        if self._finishing:
            self._owner.disconnected()
        else:
            self._owner.drained()

    def _reader_is_gone(self) -> bool:
        # Data from the reader is dropped.
        try:
            return not self.socket.recv(4096)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True


class ThreadWriter:
    """Writes in a thread of the HTTP server, for a connection that cannot be detached."""

    def __init__(self, socket_loop: SocketLoop, release: Callable[[], None]) -> None:
        self.pending = 0
        self.progress_at = time.monotonic()
        self._socket_loop = socket_loop
        self._release = release
        self._closed = False
        self._lock = threading.Lock()
        self._pieces: queue.SimpleQueue[bytes | Reply | None] = queue.SimpleQueue()

    def attach(self, owner: WriterOwner) -> None:
        self._owner = owner

    def write(self, piece: bytes) -> None:
        with self._lock:
            self.pending += len(piece)
        self._pieces.put(piece)

    def respond(self, reply: Reply) -> None:
        self._pieces.put(reply)

    def finish(self) -> None:
        self._pieces.put(None)

    def abort(self) -> None:
        self._pieces.put(None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        # Called in the HTTP server's thread, and blocks.
        piece = self._pieces.get()
        if not isinstance(piece, bytes):
            self.close()
            raise StopIteration
        self._note_sent(piece)
        return piece

    def close(self) -> None:
        """End the stream. Idempotent.

        The WSGI server calls this at the end of each answer, and when the reader has disconnected.
        """
        if not self._closed:
            self._closed = True
            self._release()
            self._socket_loop.call_soon(lambda: self._owner.disconnected())

    def reply(self) -> Reply | None:
        """Wait for the complete answer, and return it; None if the output ended without an answer.

        Called in the HTTP server's thread, which blocks.
        """
        try:
            answer = self._pieces.get()
            return answer if isinstance(answer, Reply) else None
        finally:
            self.close()

    def _note_sent(self, piece: bytes) -> None:
        with self._lock:
            self.pending -= len(piece)
            empty = not self.pending
        self.progress_at = time.monotonic()
        if empty:
            self._socket_loop.call_soon(lambda: self._owner.drained())
