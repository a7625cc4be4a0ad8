"""The HTTP client for programs that must start fast: commands of workers, MCP, drivers of agents.

It uses only the standard library. It uses no proxy, which could see the key, and follows no
redirects. Other programs use ``OrchestratorClient``.
"""

from __future__ import annotations

import json
import time

# Importing http.client, urllib, and typing would double the time of a start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from typing import Any

#: Statuses for "cannot answer now", from the server or a proxy.
BUSY = (429, 502, 503, 504)
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 5.0
#: Longest pause before a retry without a call of ``waiting``, in seconds.
SILENT_DELAY_SECONDS = 1.0
PORTS = {"http": 80, "https": 443}
MASK = b"***"


class ServerReply:
    def __init__(self, status: int, retry_after: float | None, body: bytes) -> None:
        self.status, self.retry_after, self.body = status, retry_after, body

    @property
    def document(self) -> dict[str, Any]:
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def detail(self) -> str:
        return str(self.document.get("detail") or f"the server answered with HTTP {self.status}")


class StdlibClient:
    """Calls one server with one key. Each call has a new connection.

    Raise ValueError if the URL is invalid.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self._scheme, self._address, self._prefix = split(url)
        self._key = key

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float,
        idempotency_key: str = "",
    ) -> ServerReply:
        """Make one call. Raise OSError if the answer is incomplete.

        Raise OSError also if no data arrives for ``timeout`` seconds.
        """
        message = self._message(method, path, body, idempotency_key)
        with self._connection(timeout) as connection:
            connection.sendall(message)
            with connection.makefile("rb") as stream:
                reply = understood(stream.read())
        if self._key and reply.status >= 400:
            # A proxy may show the request in its error page.
            reply.body = reply.body.replace(self._key.encode("latin-1"), MASK)
        return reply

    def _connection(self, timeout: float) -> socket.socket:
        # imported here: it takes a tenth of a start's time, and --help does not need it
        import socket

        connection = socket.create_connection(self._address, timeout)
        if self._scheme == "http":
            return connection
        import ssl  # imported here: slow, and workers have a URL without it

        try:
            context = ssl.create_default_context()
            return context.wrap_socket(connection, server_hostname=self._address[0])
        except BaseException:
            connection.close()
            raise

    def _message(self, method: str, path: str, body: Mapping[str, Any] | None, key: str) -> bytes:
        # The server answers HTTP/1.0 in one piece, and then closes the connection.
        content = b"" if body is None else json.dumps(body).encode()
        host, port = self._address
        lines = [
            f"{method} {self._prefix}{path} HTTP/1.0",
            f"Host: {f'[{host}]' if ':' in host else host}:{port}",
            "Connection: close",
        ]
        if self._key:
            lines.append(f"X-API-Key: {self._key}")
        if key:
            lines.append(f"Idempotency-Key: {key}")
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def retried(
    once: Callable[[], ServerReply],
    patience: float,
    *,
    ends_at: float = float("inf"),
    waiting: Callable[[], object] = lambda: None,
) -> ServerReply:
    """Call ``once`` until the server gives an answer other than "busy", and return this answer.

    ``once`` must be idempotent. Pauses grow, or follow ``Retry-After``. Calls end ``patience``
    seconds after the first failure, and at ``ends_at`` (monotonic seconds) at the latest.
    ``waiting`` is called once, before the first long pause. Raise OSError with the last error.
    """
    delay, gives_up_at, has_reported = FIRST_DELAY_SECONDS, 0.0, False
    while True:
        pause = delay
        try:
            reply = once()
        except OSError as error:
            trouble = error
        else:
            if reply.status not in BUSY:
                return reply
            trouble, pause = OSError(reply.detail), reply.retry_after or delay
        now = time.monotonic()
        gives_up_at = gives_up_at or min(now + patience, ends_at)
        if now + pause > gives_up_at:
            raise trouble
        if pause > SILENT_DELAY_SECONDS and not has_reported:
            waiting()
            has_reported = True
        time.sleep(pause)
        delay = min(delay * 2, LONGEST_DELAY_SECONDS)


def split(url: str) -> tuple[str, tuple[str, int], str]:
    """Return a URL's scheme, its host and port, and its path. Raise ValueError if it is invalid."""
    scheme, _, rest = url.partition("://")
    place, _, prefix = rest.rstrip("/").partition("/")
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, str(PORTS.get(scheme))
    if scheme not in PORTS or not host or not port.isdigit():
        raise ValueError(f"not the URL of a server: {url!r}")
    return scheme, (host.strip("[]"), int(port)), f"/{prefix}" if prefix else ""


def understood(message: bytes) -> ServerReply:
    """Parse a complete HTTP answer, and return its parts. Raise OSError if it is incomplete."""
    head, blank, content = message.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = first.split(" ")[1:2]
    if not blank or not status or not status[0].isdigit():
        raise OSError("the connection was lost")
    fields = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    length, after = fields.get("content-length", ""), fields.get("retry-after", "")
    if length.isdigit() and len(content) < int(length):
        raise OSError("the connection was lost")
    return ServerReply(int(status[0]), float(after) if after.isdigit() else None, content)
