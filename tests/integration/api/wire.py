"""A client that speaks HTTP byte by byte, and a reader of event streams."""

import json
import socket
from collections.abc import Iterator
from typing import Any

from orchestrator.api.http_server.waitress_server import HttpServer
from tests.unit.api.fake_service import KEY

TIMEOUT_SECONDS = 10.0


def request_text(
    method: str, path: str, *headers: str, body: str = "", version: str = "1.1"
) -> str:
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", f"X-API-Key: {KEY}", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body])


class Connection:
    """One TCP connection."""

    def __init__(self, server: HttpServer) -> None:
        self.socket = socket.create_connection((server.host, server.port), TIMEOUT_SECONDS)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def ask(
        self, method: str, path: str, *headers: str, body: str = "", version: str = "1.1"
    ) -> None:
        text = request_text(method, path, *headers, body=body, version=version)
        self.socket.sendall(text.encode())

    def head(self) -> tuple[int, dict[str, str]]:
        """Return status and headers of the next answer."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def body(self, headers: dict[str, str]) -> bytes:
        """Return the whole body of an answer."""
        return b"".join(self.pieces(headers))

    def pieces(self, headers: dict[str, str]) -> Iterator[bytes]:
        """Yield an answer's body as it arrives."""
        if "content-length" in headers:
            yield self._file.read(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            yield from self._chunks()
        else:
            while piece := self._file.read1(65536):
                yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._file.readline() or b"0", 16):
            yield self._file.read(size)
            assert self._file.readline() == b"\r\n"
        assert self._file.readline() == b"\r\n", "the stream has no proper end"

    def json(self, method: str, path: str, *headers: str, body: str = "") -> Any:
        self.ask(method, path, *headers, body=body)
        _, found = self.head()
        return json.loads(self.body(found))


class Events:
    """An open event stream."""

    def __init__(
        self, server: HttpServer, job_id: str, *headers: str, version: str = "1.1"
    ) -> None:
        self.connection = Connection(server)
        path = f"/api/v1/jobs/{job_id}/events"
        self.connection.ask("GET", path, *headers, version=version)
        self.status, self.headers = self.connection.head()
        assert self.status == 200

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield events until the stream ends."""
        rest = b""
        for piece in self.connection.pieces(self.headers):
            *blocks, rest = (rest + piece).split(b"\n\n")
            for block in blocks:
                yield from (
                    json.loads(line[6:]) for line in block.split(b"\n") if line[:6] == b"data: "
                )

    def close(self) -> None:
        self.connection.close()
