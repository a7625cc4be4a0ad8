"""The client's HTTP session: limited retries, and exceptions for error answers.

The module ``remote_session`` is used for a server on another machine or with TLS.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from orchestrator.api.client.errors import ConnectionLost, ServerUnreachable, error_of
from orchestrator.api.client.loopback_session import LoopbackResponse, LoopbackSession
from orchestrator.system.http_client.http_retry import BUSY, Retry, Waiting, seconds_until
from orchestrator.system.http_client.silence import reported_silence

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
#: Seconds without data after which a stream counts as broken. A running server sends heartbeats.
STREAM_SILENCE_SECONDS = 60.0
#: Matches a host name with valid labels, an IPv4 address, or an IPv6 address without brackets.
_HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?|[\w.%]*:[\w.:%]*")
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

#: Returns the current address of the server; None if no server has recorded an address.
FindUrl = Callable[[], str | None]


#: Function that is called with a server's address, and the seconds to wait for its answer.
OnSilence = Callable[[str, float], object]


class TransportReply(Protocol):
    @property
    def status_code(self) -> int: ...

    @property
    def ok(self) -> bool: ...

    @property
    def reason(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def content(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def json(self) -> Any: ...


class Transport:
    """Calls one server with one key. Only one thread at a time may use it.

    ``find_url`` is called before a lost call is repeated, because a restarted server may have
    another port. None: the address never changes. ``on_silence`` is called, in another thread, if a
    call has no answer yet. Its arguments are the address, and the maximum seconds to wait.
    """

    def __init__(
        self,
        api_url: str,
        api_key: str | None,
        retry_seconds: float,
        waiting: Waiting | None,
        find_url: FindUrl | None = None,
        on_silence: OnSilence | None = None,
    ) -> None:
        self.retry_seconds = retry_seconds
        self._waiting = waiting
        self._find_url = find_url
        self._on_silence = on_silence
        # A key that was read from a file may end with a line break.
        key = (api_key or "").strip()
        self._headers = {"X-API-Key": key} if key else {}
        self._remote: Any = None
        self._use(api_url)

    def _use(self, api_url: str) -> None:
        """Call the server at ``api_url`` from now on. Raise ValueError for an invalid address."""
        message = f"invalid api_url {api_url!r}; use an address such as http://localhost:8000"
        try:
            parts = urlsplit(api_url)
            _ = parts.port  # raises ValueError for an invalid port
        except ValueError as error:
            raise ValueError(message) from error
        if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.hostname or ""):
            raise ValueError(message)
        self.close()
        self.url = api_url.rstrip("/")
        self._is_local = parts.hostname in LOOPBACK_HOSTS
        self._session: Any = None
        if self._is_local and parts.scheme == "http":
            session = LoopbackSession(self.url)
            session.headers.update(self._headers)
            self._session = session

    def close(self) -> None:
        if self._remote is not None:
            self._remote.close()
            self._remote = None

    def _remote_session(self) -> Any:
        if self._remote is None:
            # Imported here, because the import takes longer than most commands.
            from orchestrator.api.client.remote_session import RemoteSession

            session = RemoteSession()
            # A proxy for the internet cannot reach servers on this machine.
            session.trust_env = not self._is_local
            session.headers.update(self._headers)
            self._remote = session
        return self._remote

    def retry(self, window: float) -> Retry:
        return Retry(window, self._waiting)

    def get(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        retry_seconds: float | None = None,
        read_timeout: float = READ_TIMEOUT_SECONDS,
    ) -> TransportReply:
        """Send a GET request.

        Raise ApiError for an error answer, and ServerUnreachable if no answer came in time.
        """
        retry = self.retry(self.retry_seconds if retry_seconds is None else retry_seconds)
        return self._call(retry, "GET", path, read_timeout=read_timeout, params=without_none(query))

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        read_timeout: float = READ_TIMEOUT_SECONDS,
    ) -> TransportReply:
        """Send a POST request. Raise the same errors as ``get``.

        All retries have the same Idempotency-Key, so the server acts only once.
        """
        return self._call(
            self.retry(self.retry_seconds),
            "POST",
            path,
            read_timeout=read_timeout,
            json=body,
            headers={"Idempotency-Key": idempotency_key or new_key()},
        )

    def put(self, path: str, body: Mapping[str, Any]) -> TransportReply:
        """Send a PUT request. Raise the same errors as ``get``."""
        return self._call(self.retry(self.retry_seconds), "PUT", path, json=body)

    def delete(self, path: str, body: Mapping[str, Any]) -> TransportReply:
        """Send a DELETE request. Raise the same errors as ``get``."""
        return self._call(self.retry(self.retry_seconds), "DELETE", path, json=body)

    @contextmanager
    def stream(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], retry: Retry
    ) -> Iterator[Iterator[bytes]]:
        """Send a GET request. The ``with`` block gets an iterator over the body, piece by piece.

        ``retry`` decides whether and when to repeat the request. The request raises the same errors
        as ``get``. The iterator raises ConnectionLost.
        """
        response: Any = self._call(
            retry,
            "GET",
            path,
            read_timeout=STREAM_SILENCE_SECONDS,
            params=without_none(query),
            # Compression would delay the stream until a block is full.
            headers={"Accept-Encoding": "identity", **headers},
            stream=True,
        )
        with response:
            if isinstance(response, LoopbackResponse):
                yield response.pieces()
            else:
                from orchestrator.api.client.remote_session import pieces

                yield pieces(response)

    def _call(
        self,
        retry: Retry,
        method: str,
        path: str,
        *,
        read_timeout: float = READ_TIMEOUT_SECONDS,
        **options: Any,
    ) -> TransportReply:
        options["timeout"] = (CONNECT_TIMEOUT_SECONDS, read_timeout)
        began = time.monotonic()
        report = None
        # Other calls wait for an event, so their answers may take long.
        if self._on_silence and (options.get("stream") or read_timeout == READ_TIMEOUT_SECONDS):
            report = partial(self._on_silence, self.url, read_timeout)
        while True:
            session = self._session or self._remote_session()
            try:
                with reported_silence(report):
                    response: TransportReply = session.request(method, self.url + path, **options)
            except ConnectionLost as error:
                if not retry.pause():
                    seconds = time.monotonic() - began
                    raise ServerUnreachable(
                        f"no answer from {self.url} within {seconds:.0f} s: {_cause(error)}"
                    ) from error
                self._find_again()
                continue
            if response.ok:
                return response
            problem = problem_of(response)
            is_busy = response.status_code in BUSY
            retry_after = response.headers.get("Retry-After") or response.headers.get("retry-after")
            if not (is_busy and retry.pause(seconds_until(retry_after, time.time()))):
                raise error_of(problem)

    def _find_again(self) -> None:
        url = self._find_url() if self._find_url else None
        if url and url.rstrip("/") != self.url:
            # The record of the server may be damaged.
            with suppress(ValueError):
                self._use(url)


def new_key() -> str:
    return os.urandom(16).hex()


def without_none(query: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the query parameters that have a value."""
    return {name: value for name, value in (query or {}).items() if value is not None}


def problem_of(response: TransportReply) -> dict[str, Any]:
    """Return the problem object in an error answer.

    If the answer has no problem object, return an object with the status of the answer.
    """
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        status_line = f"{response.status_code} {response.reason}"
        problem = {
            "title": response.reason,
            "detail": f"the server answered {status_line} to {response.url}",
        }
    return {**problem, "status": response.status_code}


def _cause(error: BaseException) -> str:
    """Return the innermost reason, such as "Connection refused"."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
