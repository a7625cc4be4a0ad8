"""One HTTP exchange: opens a plain connection, writes a request, and reads the answer.

``LoopbackSession`` and ``StdlibClient`` use this module. Standard library only. Uses no proxy, and
follows no redirects.
"""

from __future__ import annotations

import json

# Importing typing would take a third of the time in which a command starts.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from io import BufferedReader
    from typing import Any

#: Maximum bytes of the status line and headers of an answer.
_LONGEST_HEAD = 65536
_PIECE_BYTES = 65536
_LOST = "the server's answer is incomplete: the connection was lost"


def connect(address: tuple[str, int], seconds: float) -> socket.socket:
    """Open and return a TCP connection. Raise OSError if it cannot be opened.

    ``seconds``: timeout of the connection and of each later call on the socket.
    """
    # Imported here, because this import takes a tenth of the time in which a command starts, and
    # --help does not need it.
    import socket

    host, port = address
    # Pass bytes: for a host name as text, Python loads its tables of international names, which
    # takes 3 ms.
    name: Any = host.encode() if host.isascii() else host
    return socket.create_connection((name, port), seconds)


def request_message(
    method: str,
    target: str,
    host: str,
    headers: Mapping[str, str],
    document: Any = None,
    *,
    version: str = "1.0",
) -> bytes:
    """Return the bytes of a request. The server closes the connection after its answer.

    ``target``: path and query. ``host``: host and port. ``document``: the body, which is sent as
    JSON; None for no body. Raise ValueError for a header with a control character, such as a line
    break. The error has no header value, because the value may be a key.
    """
    content = b"" if document is None else json.dumps(document).encode()
    fields = {"Host": host, "Connection": "close", **headers}
    if document is not None:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    for name, value in fields.items():
        if not value.isprintable():
            raise ValueError(f"the header {name} has a control character; remove it")
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {fields[name]}" for name in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


class HttpAnswer:
    """An answer to a request: status, headers, and body.

    The constructor reads the status and the headers. It raises OSError if the status or the headers
    are incomplete or are not HTTP.
    """

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream
        status_line, *header_lines = _head(stream)
        words = status_line.split(" ", 2)
        if not words[0].startswith("HTTP/") or not "".join(words[1:2]).isdecimal():
            raise OSError("the answer is not HTTP")
        self.status = int(words[1])
        self.reason = words[2] if len(words) > 2 else ""
        pairs = (line.partition(":") for line in header_lines)
        #: Headers, with names in lower case.
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}

    def body(self) -> bytes:
        """Return the complete body.

        Raise OSError if the connection is lost before the end of the body.
        """
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raise OSError if the connection is lost before the end of the body.
        """
        length = self.headers.get("content-length", "")
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := self._next_size():
                yield from self._part(size)
                # Skip the line end that follows each chunk.
                self._stream.readline(_LONGEST_HEAD)
        elif length.isdecimal():
            yield from self._part(int(length))
        else:
            while piece := self._stream.read1(_PIECE_BYTES):
                yield piece

    def _next_size(self) -> int:
        digits = self._stream.readline(_LONGEST_HEAD).partition(b";")[0]
        try:
            return int(digits, 16)
        except ValueError:
            raise OSError(_LOST) from None

    def _part(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._stream.read1(min(size, _PIECE_BYTES))
            if not piece:
                raise OSError(_LOST)
            size -= len(piece)
            yield piece


def _head(stream: BufferedReader) -> list[str]:
    lines: list[str] = []
    size = 0
    while line := stream.readline(_LONGEST_HEAD):
        size += len(line)
        if line in (b"\r\n", b"\n"):
            return lines or [""]
        if size > _LONGEST_HEAD:
            break
        lines.append(line.decode("latin-1").rstrip("\r\n"))
    raise OSError(_LOST)
