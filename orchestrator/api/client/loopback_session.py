"""HTTP client for a server on this machine, with the standard library only.

It does not use ``requests``, whose import takes longer than most commands. Each call has its own
connection. Proxy settings are ignored. Redirects are not followed.
"""

import json as json_text
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from io import BufferedReader
from typing import Any
from urllib.parse import urlencode, urlsplit

from orchestrator.api.client.errors import ConnectionLost

#: Maximum bytes of the status line and headers of an answer.
_LONGEST_HEAD = 65536
_PIECE_BYTES = 65536


class LoopbackResponse:
    """An answer, with the attributes of ``requests.Response`` that the client uses.

    The constructor raises ConnectionLost if the head is incomplete or is not HTTP. With
    ``at_once``, or for an error status, it also reads the body, and raises ConnectionLost if the
    body is incomplete.
    """

    def __init__(self, url: str, stream: BufferedReader, *, at_once: bool = True) -> None:
        self.url = url
        self._stream = stream
        first, *lines = _head(stream)
        words = first.split(" ", 2)
        if not words[0].startswith("HTTP/") or not "".join(words[1:2]).isdigit():
            raise ConnectionLost("the answer is not HTTP")
        self.status_code = int(words[1])
        self.reason = words[2] if len(words) > 2 else ""
        pairs = (line.partition(":") for line in lines)
        #: Headers, with names in lower case.
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.content = b"".join(self.pieces()) if at_once or not self.ok else b""

    def __enter__(self) -> "LoopbackResponse":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def json(self) -> Any:
        return json_text.loads(self.content)

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives. Raise ConnectionLost if it is incomplete."""
        try:
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                yield from self._chunks()
            else:
                yield from self._plain()
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    def _chunks(self) -> Iterator[bytes]:
        while size := self._next_size():
            yield from self._part(size)
            self._stream.readline(_LONGEST_HEAD)

    def _next_size(self) -> int:
        digits = self._stream.readline(_LONGEST_HEAD).partition(b";")[0]
        try:
            return int(digits, 16)
        except ValueError:
            raise ConnectionLost("the connection was lost") from None

    def _plain(self) -> Iterator[bytes]:
        length = self.headers.get("content-length", "")
        if length.isdigit():
            yield from self._part(int(length))
        else:
            while piece := self._stream.read1(_PIECE_BYTES):
                yield piece

    def _part(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._stream.read1(min(size, _PIECE_BYTES))
            if not piece:
                raise ConnectionLost("the connection was lost")
            size -= len(piece)
            yield piece


class LoopbackSession:
    """Makes calls to one server. The constructor raises ValueError for an invalid address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        # As bytes, because for a host name as text Python loads its tables of international names.
        self._address: Any = str(parts.hostname).encode(), parts.port or 80
        self._host = parts.netloc.rpartition("@")[2]
        self.headers: dict[str, str] = {}

    def close(self) -> None:
        """Do nothing, because no connection is kept open."""

    def request(
        self,
        method: str,
        url: str,
        *,
        timeout: tuple[float, float],
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> LoopbackResponse:
        """Make one call. Raise ConnectionLost if connecting or reading times out.

        With ``stream``, return once the head has arrived; the caller closes the response.
        """
        content = b"" if json is None else json_text.dumps(json).encode()
        path = (urlsplit(url).path or "/") + (f"?{urlencode(params, doseq=True)}" if params else "")
        # With HTTP/1.0, the answer is one piece that ends with the connection. A stream uses
        # HTTP/1.1, whose chunks show whether the answer is complete.
        lines = [
            f"{method} {path} HTTP/1.{int(stream)}",
            f"Host: {self._host}",
            "Connection: close",
        ]
        given = {**self.headers, **(headers or {})}
        if json is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines += [f"{name}: {value}" for name, value in given.items()]
        message = "\r\n".join([*lines, "", ""]).encode("latin-1") + content
        try:
            with (
                socket.create_connection(self._address, timeout[0]) as connection,
                ExitStack() as opened,
            ):
                connection.settimeout(timeout[1])
                with suppress(BrokenPipeError, ConnectionResetError):
                    # The server may reject a request, and answer, before it has read the whole
                    # request.
                    connection.sendall(message)
                # The connection stays open until its file is closed.
                body = opened.enter_context(connection.makefile("rb"))
                response = LoopbackResponse(url, body, at_once=not stream)
                if stream and response.ok:
                    opened.pop_all()
                return response
        except OSError as error:
            raise ConnectionLost(str(error)) from error


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
    raise ConnectionLost("the connection was lost")
