"""Messages over a socket: JSON objects, each preceded by its length (4 bytes).

Data that does not fit into the socket's buffer is queued, because a worker's environment may be
larger than the buffer.
"""

import json
import socket
import struct
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct(">I")
#: Bytes per read. The number is small, because each read allocates this size, and most messages
#: have some hundred bytes.
_CHUNK = 8 * 1024
_encode = json.JSONEncoder(check_circular=False).encode


class Channel:
    """One end of a socket pair. Calls never block. Not thread-safe."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._unsent = bytearray()
        self._unread = bytearray()
        self._has_lost = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    @property
    def is_unread(self) -> bool:
        """True if the peer exited without reading all data. Valid only after the peer's exit."""
        return self._has_lost or self.has_unsent

    def send(self, message: Message) -> None:
        """Send a message, or queue it if the socket is full.

        Only ``receive`` detects that the peer has exited.
        """
        self.queue(message)
        self.flush()

    def queue(self, message: Message) -> None:
        """Queue a message. The next ``flush`` or ``send`` sends it."""
        self.queue_encoded(_encode(message).encode("ascii"))

    def queue_encoded(self, body: bytes) -> None:
        self._unsent += _LENGTH.pack(len(body))
        self._unsent += body

    def flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
            self._has_lost = True

    def receive(self) -> tuple[list[Message], bool]:
        """Return the complete messages since the previous call, and True if the peer still runs.

        If the peer exits directly after a message, only the next call returns False.
        """
        is_connected = self._read()
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages, is_connected

    def _read(self) -> bool:
        try:
            while chunk := self._socket.recv(_CHUNK):
                self._unread += chunk
                if len(chunk) < _CHUNK:
                    return True
        except BlockingIOError:
            return True
        except OSError:
            self._has_lost = True
            return False
        return False

    def _next(self) -> Message | None:
        if len(self._unread) < _LENGTH.size:
            return None
        end = _LENGTH.size + int(_LENGTH.unpack_from(self._unread)[0])
        if len(self._unread) < end:
            return None
        message: Message = json.loads(self._unread[_LENGTH.size : end].decode("ascii"))
        del self._unread[:end]
        return message
