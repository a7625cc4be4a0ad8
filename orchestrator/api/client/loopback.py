"""HTTP client for a server on this machine, with the standard library only.

Importing ``requests`` takes longer than most commands. Each call has its own connection. Proxy
settings are ignored. Redirects are not followed.
"""

import json as json_text
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO
from urllib.parse import urlencode, urlsplit

from orchestrator.api.client.errors import ConnectionLost

#: Maximum bytes of the status line and headers of an answer.
_LONGEST_HEAD = 65536


class LoopbackResponse:
    """A complete answer, with the attributes of ``requests.Response`` that the client uses.

    Raise ConnectionLost if the body is incomplete.
    """

    def __init__(self, url: str, stream: BinaryIO) -> None:
        self.url = url
        first, *lines = _head(stream)
        words = first.split(" ", 2)
        if not words[0].startswith("HTTP/") or not "".join(words[1:2]).isdigit():
            raise ConnectionLost("the answer is not HTTP")
        self.status_code = int(words[1])
        self.reason = words[2] if len(words) > 2 else ""
        pairs = (line.partition(":") for line in lines)
        #: Headers, with names in lower case.
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.content = stream.read()
        length = self.headers.get("content-length", "")
        if length.isdigit() and len(self.content) < int(length):
            raise ConnectionLost("the connection was lost")

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def json(self) -> Any:
        """Return the JSON value of the body. Raise ValueError."""
        return json_text.loads(self.content)


class LoopbackSession:
    """Makes calls to one server. Raise ValueError for an invalid address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        # As bytes, because a text makes Python load its tables for international names.
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
    ) -> LoopbackResponse:
        """Make one call. Raise ConnectionLost after a timeout to connect or to read."""
        content = b"" if json is None else json_text.dumps(json).encode()
        path = (urlsplit(url).path or "/") + (f"?{urlencode(params)}" if params else "")
        # The answer to HTTP/1.0 comes in one piece and ends with the connection.
        lines = [f"{method} {path} HTTP/1.0", f"Host: {self._host}", "Connection: close"]
        given = {**self.headers, **(headers or {})}
        if json is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines += [f"{name}: {value}" for name, value in given.items()]
        message = "\r\n".join([*lines, "", ""]).encode("latin-1") + content
        try:
            with socket.create_connection(self._address, timeout[0]) as connection:
                connection.settimeout(timeout[1])
                with suppress(BrokenPipeError, ConnectionResetError):
                    # A refused request may be answered before it was read.
                    connection.sendall(message)
                with connection.makefile("rb") as stream:
                    return LoopbackResponse(url, stream)
        except OSError as error:
            raise ConnectionLost(str(error)) from error


def _head(stream: BinaryIO) -> list[str]:
    """Return the status line and headers of an answer."""
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
