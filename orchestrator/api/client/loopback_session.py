"""HTTP client for a server on this machine, with the standard library only.

This module does not use ``requests``, because importing ``requests`` takes longer than most
commands. Each call has its own connection. Proxy settings are ignored. Redirects are not followed.
"""

import json as json_text
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from io import BufferedReader
from typing import Any
from urllib.parse import urlencode, urlsplit

from orchestrator.api.client.errors import ConnectionLost
from orchestrator.system.http_client.http_exchange import HttpAnswer, connect, request_message


class LoopbackResponse:
    """An answer, with the attributes of ``requests.Response`` that the client uses.

    The constructor reads the head. If ``at_once`` is True or the status is an error, the
    constructor also reads the body. The constructor raises OSError for an incomplete or invalid
    answer.
    """

    def __init__(self, url: str, stream: BufferedReader, *, at_once: bool) -> None:
        self.url = url
        self._stream = stream
        self._answer = HttpAnswer(stream)
        self.status_code = self._answer.status
        self.reason = self._answer.reason
        #: Headers, with names in lower case.
        self.headers = self._answer.headers
        self.content = self._answer.body() if at_once or not self.ok else b""

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
            yield from self._answer.pieces()
        except OSError as error:
            raise ConnectionLost(str(error)) from error


class LoopbackSession:
    """Makes calls to one server. The constructor raises ValueError for an invalid address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = str(parts.hostname), parts.port or 80
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
        target = urlsplit(url).path or "/"
        target += f"?{urlencode(params, doseq=True)}" if params else ""
        all_headers = {**self.headers, **(headers or {})}
        # The end of an HTTP/1.0 answer is the end of the connection, so a stream that broke would
        # look complete. A stream therefore uses HTTP/1.1, in which the last chunk marks the end.
        version = "1.1" if stream else "1.0"
        message = request_message(method, target, self._host, all_headers, json, version=version)
        try:
            with connect(self._address, timeout[0]) as connection, ExitStack() as stack:
                connection.settimeout(timeout[1])
                with suppress(BrokenPipeError, ConnectionResetError):
                    # The server may reject a request, and answer, before it has read the whole
                    # request.
                    connection.sendall(message)
                # The connection stays open until its file is closed.
                body = stack.enter_context(connection.makefile("rb"))
                response = LoopbackResponse(url, body, at_once=not stream)
                if stream and response.ok:
                    stack.pop_all()
                return response
        except OSError as error:
            raise ConnectionLost(str(error)) from error
