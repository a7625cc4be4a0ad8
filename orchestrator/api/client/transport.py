"""HTTP for the client: one session, bounded retries, problem objects turned into errors."""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from orchestrator.api.client.errors import ServerUnreachable, error_of
from orchestrator.api.client.retry import Retry, Waiting

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
#: Seconds after which a silent server counts as exited, because streams have heartbeats.
STREAM_SILENCE_SECONDS = 60.0
#: Statuses for "cannot answer now", from the server or a proxy.
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
PIECE_BYTES = 65536


class Transport:
    """Calls one server with one key. Only one thread at a time may use it."""

    def __init__(self, api_url: str, api_key: str | None, retry_seconds: float) -> None:
        parts = urlsplit(api_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"invalid api_url {api_url!r}; use an address such as http://localhost:8000"
            )
        self.url = api_url.rstrip("/")
        self.retry_seconds = retry_seconds
        self.waiting: Waiting = lambda seconds: None
        self._session = requests.Session()
        # A proxy for the internet cannot reach servers on this machine.
        self._session.trust_env = parts.hostname not in LOOPBACK_HOSTS
        if api_key:
            self._session.headers["X-API-Key"] = api_key

    def close(self) -> None:
        self._session.close()

    def retry(self, window: float) -> Retry:
        return Retry(window, self.waiting)

    def get(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        retry_seconds: float | None = None,
        read_timeout: float = READ_TIMEOUT_SECONDS,
    ) -> requests.Response:
        """Send a GET request. Raise ApiError for an error answer, ServerUnreachable if no answer
        came in time.
        """
        retry = self.retry(self.retry_seconds if retry_seconds is None else retry_seconds)
        return self._call(retry, "GET", path, read_timeout=read_timeout, params=present(query))

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        read_timeout: float = READ_TIMEOUT_SECONDS,
    ) -> requests.Response:
        """Send a POST request, with retries as for ``get``. All tries have one Idempotency-Key, so
        that they count once.
        """
        return self._call(
            self.retry(self.retry_seconds),
            "POST",
            path,
            read_timeout=read_timeout,
            json=body,
            headers={"Idempotency-Key": idempotency_key or secrets.token_hex(16)},
        )

    def put(self, path: str, body: Mapping[str, Any]) -> requests.Response:
        """Send a PUT request, with retries as for ``get``."""
        return self._call(self.retry(self.retry_seconds), "PUT", path, json=body)

    def delete(self, path: str, body: Mapping[str, Any]) -> requests.Response:
        """Send a DELETE request, with retries as for ``get``."""
        return self._call(self.retry(self.retry_seconds), "DELETE", path, json=body)

    @contextmanager
    def stream(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], retry: Retry
    ) -> Iterator[Iterator[bytes]]:
        """Yield the body in pieces as they arrive. A lost connection raises requests' own
        errors.
        """
        response = self._call(
            retry,
            "GET",
            path,
            read_timeout=STREAM_SILENCE_SECONDS,
            params=present(query),
            # Compression would delay the stream until a block is full.
            headers={"Accept-Encoding": "identity", **headers},
            stream=True,
        )
        with response:
            yield _pieces(response)

    def _call(
        self,
        retry: Retry,
        method: str,
        path: str,
        *,
        read_timeout: float = READ_TIMEOUT_SECONDS,
        **options: Any,
    ) -> requests.Response:
        options["timeout"] = (CONNECT_TIMEOUT_SECONDS, read_timeout)
        began = time.monotonic()
        while True:
            try:
                response = self._session.request(method, self.url + path, **options)
            except LOST as error:
                if not retry.pause():
                    raise self._unreachable(began, error) from error
                continue
            if response.ok:
                return response
            problem = problem_of(response)
            busy = response.status_code in RETRIED_STATUSES
            if not (busy and retry.pause(response.headers.get("Retry-After"))):
                raise error_of(problem)

    def _unreachable(self, began: float, error: Exception) -> ServerUnreachable:
        seconds = time.monotonic() - began
        return ServerUnreachable(
            f"no answer from {self.url} within {seconds:.0f} s: {_cause(error)}"
        )


#: Errors of a connection that failed or broke: a retry may help.
LOST = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


def present(query: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the query parameters that have a value."""
    return {name: value for name, value in (query or {}).items() if value is not None}


def problem_of(response: requests.Response) -> dict[str, Any]:
    """Return the problem object of an error answer; derived from the status if the answer has
    none.
    """
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": response.reason, "detail": _unexplained(response)}
    return {**problem, "status": response.status_code}


def _unexplained(response: requests.Response) -> str:
    return f"the server answered {response.status_code} {response.reason} to {response.url}"


def _cause(error: BaseException) -> str:
    """Return the innermost reason, such as "Connection refused"."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield the data received so far, repeatedly (``iter_content`` waits for full pieces)."""
    try:
        while piece := response.raw.read1(PIECE_BYTES):
            yield piece
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise requests.exceptions.ConnectionError(error) from error
