"""Sends one POST request over HTTP, with limits on the total time and on the answer's size."""

import http.client
import os
import re
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import field

from orchestrator.agents.model_loop.model_http.call_failure import ModelFailure
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import ErrorClass
from orchestrator.system.ip_addresses import is_loopback

_PATH = re.compile(r"[\x21-\x7e]*")
#: Maximum size of an answer. A model's answers are much smaller.
MAX_ANSWER_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEndpoint:
    scheme: str
    host: str
    port: int | None
    #: Path of the base URL, without a slash at its end.
    path: str

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host) or self.host.endswith(".localhost")

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpReply:
    status: int
    #: Headers with names in lower case.
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Deadline:
    """Shuts the connection down at the deadline, even if the server is still sending."""

    sock: socket.socket
    over: threading.Event = field(default_factory=threading.Event)

    def end(self) -> None:
        self.over.set()
        # Shut down the plain socket, because closing TLS would wait for the server.
        with suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def endpoint(base_url: str) -> ModelEndpoint:
    """Return the endpoint of a URL. Raise ModelFailure (config) if the URL is invalid."""
    try:
        url = urllib.parse.urlsplit(base_url)
        host, port = url.hostname or "", url.port
    except ValueError:
        host, port = "", None
    usable = host and url.scheme in ("http", "https") and _PATH.fullmatch(url.path)
    if not usable:
        words = f"the base URL {base_url!r} is not an http or https URL; correct it"
        raise ModelFailure(ErrorClass.CONFIG, words)
    return ModelEndpoint(scheme=url.scheme, host=host, port=port, path=url.path.rstrip("/"))


def post(
    to: ModelEndpoint,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    connect: float,
    call: float,
) -> HttpReply:
    """Send a POST request, and return the whole answer. Redirects are not followed.

    ``connect`` and ``call`` are timeouts in seconds. Raise ModelFailure if the connection fails, or
    if no complete answer arrives in time.
    """
    connection = _connection(to, connect)
    try:
        _connect(connection, to)
        with _deadline(connection.sock, call) as deadline:
            try:
                return _exchange(connection, path, headers, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _failure_of(to, error, call, deadline) from error
    finally:
        connection.close()


def _connection(to: ModelEndpoint, seconds: float) -> http.client.HTTPConnection:
    if to.scheme == "http":
        return http.client.HTTPConnection(to.host, to.port, timeout=seconds)
    proxy = None if to.loopback else _proxy(to)
    if proxy is None:
        return http.client.HTTPSConnection(to.host, to.port, timeout=seconds)
    tunnel = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=seconds)
    tunnel.set_tunnel(to.host, to.port or 443)
    return tunnel


def _proxy(to: ModelEndpoint) -> ModelEndpoint | None:
    """Return the proxy for calls to ``to``, from the variable ``https_proxy``.

    Return None if the variable is not set, or if ``no_proxy`` excludes the host.
    """
    if not any(name.lower() == "https_proxy" for name in os.environ):
        return None
    import urllib.request  # slow to import, and rarely needed

    if urllib.request.proxy_bypass(to.host):
        return None
    return endpoint(urllib.request.getproxies()["https"])


def _connect(connection: http.client.HTTPConnection, to: ModelEndpoint) -> None:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        words = f"the certificate of {to} is not trusted: {error.verify_message}"
        raise ModelFailure(ErrorClass.CONFIG, words) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ModelFailure(
            ErrorClass.API, f"cannot reach {to}: {_reason(error)}", retryable=True
        ) from error


def _reason(error: Exception) -> str:
    return (
        (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    )


@contextmanager
def _deadline(sock: socket.socket, seconds: float) -> Iterator[_Deadline]:
    sock.settimeout(seconds)
    deadline = _Deadline(sock)
    timer = threading.Timer(seconds, deadline.end)
    timer.daemon = True
    timer.start()
    try:
        yield deadline
    finally:
        timer.cancel()
        timer.join()


def _exchange(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str], body: bytes
) -> HttpReply:
    connection.request("POST", path, body, dict(headers))
    response = connection.getresponse()
    text = response.read(MAX_ANSWER_BYTES + 1)
    if len(text) > MAX_ANSWER_BYTES:
        raise ValueError(f"the server's answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB")
    if response.length:
        raise ValueError("the server's answer is incomplete")
    names = {name.lower(): value for name, value in response.getheaders()}
    return HttpReply(status=response.status, headers=names, body=text)


def _failure_of(
    to: ModelEndpoint, error: Exception, seconds: float, deadline: _Deadline
) -> ModelFailure:
    if deadline.over.is_set() or isinstance(error, TimeoutError):
        words = f"{to} did not answer within {seconds:g} s"
        return ModelFailure(ErrorClass.TIMEOUT, words, retryable=True, may_have_used_tokens=True)
    words = f"the connection to {to} was lost during an answer: {_reason(error)}"
    return ModelFailure(ErrorClass.API, words, retryable=True, may_have_used_tokens=True)
