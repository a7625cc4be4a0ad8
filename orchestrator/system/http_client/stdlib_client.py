"""The HTTP client for programs that must start fast: commands of workers, MCP, drivers of agents.

Standard library only. The client follows no redirects. It uses no proxy, because a proxy could see
the key. Other programs use ``OrchestratorClient``.
"""

from __future__ import annotations

import json

from orchestrator.system.http_client.http_exchange import HttpAnswer, connect, request_message

# Importing http.client, urllib, and typing would double the time in which a command starts.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from typing import Any

PORTS = {"http": 80, "https": 443}
LAST_PORT = 65535
MASK = b"***"


class ServerReply:
    def __init__(self, status: int, retry_after: float | None, body: bytes) -> None:
        self.status, self.retry_after, self.body = status, retry_after, body

    @property
    def document(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def detail(self) -> str:
        return str(self.document.get("detail") or f"the server answered with HTTP {self.status}")


class StdlibClient:
    """Calls one server with one key. Each call has a new connection.

    The constructor raises ValueError if the URL is invalid.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self._scheme, self._address, self._prefix = split(url)
        host, port = self._address
        self._host = f"{f'[{host}]' if ':' in host else host}:{port}"
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
        """Send a request, and return the server's reply.

        Raise OSError if the server cannot be reached, if the reply is incomplete, or if no data
        arrives for ``timeout`` seconds.
        """
        headers = {"X-API-Key": self._key} if self._key else {}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        message = request_message(method, self._prefix + path, self._host, headers, body)
        with self._connection(timeout) as connection:
            connection.sendall(message)
            with connection.makefile("rb") as stream:
                answer = HttpAnswer(stream)
                content = answer.body()
        if self._key and answer.status >= 400:
            # Mask the key, because a proxy may show the request in its error page.
            content = content.replace(self._key.encode("latin-1"), MASK)
        retry_after = answer.headers.get("retry-after", "")
        return ServerReply(
            answer.status, float(retry_after) if retry_after.isdigit() else None, content
        )

    def _connection(self, timeout: float) -> socket.socket:
        connection = connect(self._address, timeout)
        if self._scheme == "http":
            return connection
        import ssl  # imported here, because the import is slow, and workers have an http URL

        try:
            context = ssl.create_default_context()
            return context.wrap_socket(connection, server_hostname=self._address[0])
        except BaseException:
            connection.close()
            raise


def split(url: str) -> tuple[str, tuple[str, int], str]:
    """Return a URL's scheme, its host and port, and its path. Raise ValueError if it is invalid."""
    scheme, _, address = url.partition("://")
    authority, _, prefix = address.rstrip("/").partition("/")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, str(PORTS.get(scheme))
    is_valid_port = port.isdigit() and int(port) <= LAST_PORT
    if scheme not in PORTS or not host.strip("[]") or not is_valid_port:
        raise ValueError(
            f"not the URL of a server: {url!r}; write http://HOST:PORT or https://HOST"
        )
    return scheme, (host.strip("[]"), int(port)), f"/{prefix}" if prefix else ""
