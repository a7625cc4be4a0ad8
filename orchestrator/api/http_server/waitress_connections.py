"""Connections of waitress: timeouts, and limits on their number.

Depends on waitress' channels (``requests``, ``request``, ``will_close``) and its dispatcher.
"""

import errno
import os
import re
import resource
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from orchestrator.api.access.origin_guard import secured
from orchestrator.api.http_messages.poll_answer import HEAD, Pieces
from orchestrator.api.http_messages.problems import ProblemError, too_large, unavailable

if TYPE_CHECKING:
    from orchestrator.api.http_server.tls import Relay

#: Timeout in seconds for the whole head of a request.
HEAD_SECONDS = 5.0
#: Seconds for which data of a rejected caller is read and dropped. If a connection is closed with
#: unread data, the kernel resets the connection, and the caller does not get the answer.
REST_SECONDS = 30.0
#: Number of threads that are reserved for vital requests. With only one thread, a slow cancel would
#: delay /health.
VITAL_THREADS = 2
LARGEST_HEADER_BYTES = 64 * 1024
#: Error types by status of waitress' own error answers.
_SLUGS = {400: "bad-request", 431: "headers-too-large", 501: "not-implemented"}
_HEALTH = frozenset({"/health", "/healthz", "/readyz"})
_JOB = re.compile(r"/api/v1/jobs/[^/]+")
CROWDED = unavailable("connection limit reached (api.connection_limit); retry later")
_TOO_LATE = ProblemError(
    status=HTTPStatus.REQUEST_TIMEOUT,
    type="request-timeout",
    detail=f"the request's headers did not arrive within {HEAD_SECONDS:g} s",
)


class _ProblemTask(ErrorTask):  # type: ignore[misc]
    """Sends a problem object for a request that waitress rejects as malformed or too large."""

    def execute(self) -> None:
        error = self.request.error
        # ``serve`` sets waitress' limit one byte higher than the real limit.
        reply = _refusal(error, self.channel.server.adj.max_request_body_size - 1).reply()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend(secured(reply.headers))
        self.set_close_on_finish()
        self.content_length = len(reply.body)
        # The rest of a body that is too large is read and dropped. Other rejected connections are
        # closed at once.
        self.channel.drops_rest = error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        self.write(reply.body)


class _Crowded:
    """The error of a request that is rejected because the server has too many connections."""

    code, reason, body = 503, "Service Unavailable", ""


def _refusal(error: Any, max_request_bytes: int) -> ProblemError:
    if isinstance(error, _Crowded):
        return CROWDED
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return too_large(max_request_bytes)
    detail = f"the request is not valid HTTP: {error.body}"
    if error.code == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        detail = f"headers too large: maximum {LARGEST_HEADER_BYTES} bytes"
    return ProblemError(
        status=HTTPStatus(error.code), type=_SLUGS.get(error.code, "internal"), detail=detail
    )


class _Task(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[HEAD] = self.request.head
        return environ


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    #: The bytes of the request before its body.
    head = b""

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if self.error:
            # If this flag stayed set, waitress would send "100 Continue", and the client would send
            # the body of a rejected request.
            self.expect_continue = False
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        # Reject a request with both Content-Length and chunks. If a proxy and waitress saw
        # different ends of the body, a caller could hide a second request in the body.
        self.head = bytes(header_plus)
        super().parse_header(header_plus)
        if "CONTENT_LENGTH" in self.headers and (
            self.chunked or "TRANSFER_ENCODING" in self.headers
        ):
            raise ParsingError("Content-Length and Transfer-Encoding")


class HttpChannel(HTTPChannel):  # type: ignore[misc]
    task_class = _Task
    error_task_class = _ProblemTask
    parser_class = _Parser
    #: The request of which only a part has arrived; None if there is no such request.
    request: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        #: Time since which the connection waits for data of a request (monotonic seconds).
        self.waits_since = time.monotonic()
        self._had_request = False
        #: True after a request that was rejected because its body is too large. The rest of the
        #: body is then read and dropped.
        self.drops_rest = False
        self._dropped_until: float | None = None
        super().__init__(*arguments, **options)

    @property
    def is_idle(self) -> bool:
        """True if the connection only waits for data from the client."""
        return not (
            self.total_outbufs_len or self.requests or self.will_close or self.close_when_flushed
        )

    def handle_write(self) -> None:
        if not self.drops_rest or self.will_close:
            super().handle_write()
            return
        if not self.requests:
            self._flush_exception(self._flush_some)
        if self.close_when_flushed and not (self.will_close or self.total_outbufs_len):
            self._drop_rest()

    def _drop_rest(self) -> None:
        """End the answer, then drop further data until the client closes the connection.

        Wait at most REST_SECONDS for the client.
        """
        with self.requests_lock:
            self._dropped_until = time.monotonic() + REST_SECONDS
            self.close_when_flushed = False
            if self.request is not None:
                self.request.close()
                self.request = None
        if self.socket.family == socket.AF_UNIX:
            return  # a shutdown would make the TLS relay close the connection
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.will_close = True

    def received(self, data: bytes) -> bool:
        if self._dropped_until is not None:
            return False
        if self._answer_from_cache(data):
            return True
        previous = self.request
        is_accepted: bool = super().received(data)
        if self.request is not None and self.request is not previous:
            self.waits_since = time.monotonic()
        return is_accepted

    def _answer_from_cache(self, data: bytes) -> bool:
        """Answer a request that equals an earlier request, and return True.

        Return False if the application must answer.
        """
        poll_cache = self.server.poll_cache
        # If ``request`` is set, ``data`` continues a request that has partly arrived.
        if poll_cache is None or self.request is not None or not self.is_closable:
            return False
        if self.close_when_flushed or self.server.is_crowded(self):
            return False
        pieces = poll_cache.answer(data, self.addr[0])
        if pieces is None:
            return False
        self._send_now(pieces)
        self._had_request = True
        self.waits_since = time.monotonic()
        return True

    def _send_now(self, pieces: Pieces) -> None:
        try:
            sent = self.socket.sendmsg(pieces)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.will_close = True
            return
        if sent < sum(map(len, pieces)):
            self.write_soon(b"".join(pieces)[sent:])
            # This value makes waitress begin a new buffer for the next answer. Waitress itself sets
            # the value after each answer.
            self.current_outbuf_count = self.adj.outbuf_high_watermark

    def service(self) -> None:
        self._had_request = True
        super().service()
        self.waits_since = time.monotonic()

    @property
    def is_closable(self) -> bool:
        """True if the connection can be closed: it has no open request and no unsent answer."""
        return not (self.requests or self.total_outbufs_len or self.will_close)

    def is_late(self, now: float) -> bool:
        """True if a request's head, or the rest of a rejected request, arrives too slowly."""
        if self._dropped_until is not None:
            return now >= self._dropped_until
        if not self.is_closable or now - self.waits_since < HEAD_SECONDS:
            return False
        request = self.request
        return not (self._had_request if request is None else request.headers_finished)

    def end(self, problem: ProblemError, *, if_silent: bool) -> None:
        """Close the connection soon. Called in the server's loop.

        Send ``problem`` to a client whose request has partly arrived. With ``if_silent``, also send
        it to a client that has made no request yet.
        """
        # Send nothing between two requests: the client could take the problem for the answer to its
        # next request.
        if self.request is not None or (if_silent and not self._had_request):
            send_problem(self.socket, problem)
        self.will_close = True


def send_problem(connection: Any, problem: ProblemError) -> None:
    """Send a problem before the connection is closed. Drop the problem if sending would block."""
    try:
        connection.setblocking(False)
        connection.send(problem.reply().encoded())
        # If a connection is closed with unread data, the kernel discards the answer. Therefore read
        # the caller's data before the close.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    except OSError:
        pass


def end_late(channels: Iterable[HttpChannel]) -> None:
    now = time.monotonic()
    for channel in channels:
        if channel.is_late(now):
            channel.end(_TOO_LATE, if_silent=False)


def end_oldest(channels: Iterable[HttpChannel], problem: ProblemError) -> bool:
    """End the connection that has waited longest for a request.

    Return False if no connection waits.
    """
    waiting = [each for each in channels if each.is_closable]
    if not waiting:
        return False
    min(waiting, key=lambda each: each.waits_since).end(problem, if_silent=True)
    return True


def is_vital(request: Any) -> bool:
    """True for requests that even a busy server answers: health checks, and cancels of jobs."""
    path, method = request.path.rstrip("/"), request.command
    if method in ("GET", "HEAD"):
        return path in _HEALTH
    if method == "POST":
        path, _, action = path.rpartition("/")
        return action == "cancel" and bool(_JOB.fullmatch(path))
    return method == "DELETE" and bool(_JOB.fullmatch(path))


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Assigns requests to threads. Some threads are reserved for vital requests (``is_vital``)."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._vital = ThreadedTaskDispatcher()
        self.set_thread_count(threads)
        self._vital.set_thread_count(VITAL_THREADS)

    def add_task(self, task: HttpChannel) -> None:
        if self._is_urgent(task) and (self.queue or self.active_count >= len(self.threads)):
            self._vital.add_task(task)
        else:
            super().add_task(task)

    def _is_urgent(self, task: HttpChannel) -> bool:
        """True if a reserved thread may handle the request of ``task``.

        Reserved threads handle vital requests. If the server has too many connections, reserved
        threads also reject other requests; in this case, this method marks the request as rejected.
        """
        request = task.requests[0]
        if request.error or is_vital(request):
            return not request.error
        if not task.server.is_crowded(task):
            return False
        request.error = _Crowded()
        return True

    def finish(self) -> None:
        self.set_thread_count(0)
        self._vital.set_thread_count(0)

    @property
    def is_finished(self) -> bool:
        return not (self.threads or self._vital.threads)

    def drop(self) -> None:
        self.shutdown(timeout=0)
        self._vital.shutdown(timeout=0)


_READ, _WRITE = select.POLLIN | select.POLLPRI, select.POLLOUT


class EventLoop:
    """Waits for events on a server's connections and listeners, in place of ``wasyncore.poll2``.

    A loop has to know for which events (data to read, room to write) each connection waits.
    ``poll2`` is slow, because it asks all connections before each wait. ``EventLoop`` asks the
    connections only if their answers may have changed. Other threads wake the loop through the
    trigger of waitress.
    """

    def __init__(self, server_map: dict[int, Any]) -> None:
        self._map = server_map
        self._poller: select.poll | None = None

    def ask_again(self) -> None:
        """Let the next ``turn`` ask each connection whether it wants to read or to write."""
        self._poller = None

    def turn(self, seconds: float) -> None:
        """Wait for events, at most for ``seconds``, and handle them."""
        poller = self._poller or self._ask_all_connections()
        ready = poller.poll(seconds * 1000)
        # False if a connection may now wait for another kind of event.
        is_same = bool(ready)
        for descriptor, events in ready:
            connection = self._map.get(descriptor)
            if connection is not None:
                wasyncore.readwrite(connection, events)
            stays = (
                isinstance(connection, HttpChannel) and connection.is_idle and not events & _WRITE
            )
            is_same = is_same and stays and self._map.get(descriptor) is connection
        self._poller = poller if is_same else None

    def _ask_all_connections(self) -> select.poll:
        poller = select.poll()
        for descriptor, connection in list(self._map.items()):
            if isinstance(connection, HttpChannel) and connection.is_idle:
                events = _READ
            else:
                events = _READ if connection.readable() else 0
                # A listener can never be written to.
                events |= _WRITE if connection.writable() and not connection.accepting else 0
            if events:
                poller.register(descriptor, events)
        return poller


def channels_of(server_map: dict[int, Any]) -> Sequence[HttpChannel]:
    return [each for each in list(server_map.values()) if isinstance(each, HttpChannel)]


#: Limits of the number of reserved descriptors: a number, and a divisor of the process's descriptor
#: limit. The smaller result counts.
MOST_RESERVED, RESERVED_SHARE = 128, 4
#: Reserves for vital requests: the number of connections beyond the connection limit, and the
#: number of reserved descriptors that connections may use.
RESERVED_CONNECTIONS, RESERVED_FOR_VITAL = 32, 8
#: Pause in seconds if no descriptor is free even to reject a connection. Without the pause, the
#: server's loop would retry without end, at full speed.
PAUSE_SECONDS = 0.05
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_REFUSAL = unavailable("no free file descriptor for another connection; retry later")


class Acceptor:
    """Accepts connections for a listener of waitress, up to the connection limit.

    If the limit is reached, a new connection replaces the connection that has waited longest for a
    request. If no connection waits, a few more connections are accepted for vital requests, and all
    others get a 503.
    """

    def __init__(
        self,
        listener: Any,
        channels: Callable[[], Sequence[HttpChannel]],
        limit: int,
        relay: "Relay | None",
    ) -> None:
        """``relay``: the TLS relay of a listener with TLS; None for plain HTTP."""
        self._listener = listener
        self._channels = channels
        self._limit = limit
        self._relay = relay
        self._spare: int | None = _open_spare()

    def accept(self) -> tuple[socket.socket, Any] | None:
        """Return the next connection; None if no connection is accepted now.

        Replaces ``accept`` of the listener. Raise OSError if the connection fails.
        """
        accepted = self._accept()
        if accepted is None or self._relay is None:
            return accepted
        connection, address = accepted
        return self._relay.take(connection), address

    def _accept(self) -> tuple[socket.socket, Any] | None:
        try:
            accepted: tuple[socket.socket, Any] | None = wasyncore.dispatcher.accept(self._listener)
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._refuse_next()
            return None
        if accepted is None:
            return None
        excess = accepted[0].fileno() - _first_reserved()
        if excess < 0 and not self._is_full():
            return accepted
        problem = _REFUSAL if excess >= 0 else CROWDED
        if end_oldest(self._channels(), problem) or (
            excess < RESERVED_FOR_VITAL
            and len(self._channels()) < self._limit + RESERVED_CONNECTIONS
        ):
            return accepted
        self._refuse(accepted[0], problem)
        return None

    def is_crowded(self, channel: HttpChannel) -> bool:
        """True if the server is so full that it answers only vital requests on this connection."""
        return channel.socket.fileno() >= _first_reserved() or self._is_full(1)

    def _is_full(self, more: int = 0) -> bool:
        limit = self._limit + more
        # The map contains listeners and all connections, so its size is an upper bound of the
        # number of connections.
        if len(self._listener._map) < limit:
            return False
        return sum(not each.will_close for each in self._channels()) >= limit

    def close(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _refuse_next(self) -> None:
        # No descriptor is free. ``close`` frees the spare descriptor for the connection to reject.
        self.close()
        try:
            accepted = wasyncore.dispatcher.accept(self._listener)
            if accepted is not None:
                self._refuse(accepted[0], _REFUSAL)
        except OSError:
            time.sleep(PAUSE_SECONDS)
        self._spare = _open_spare()

    def _refuse(self, connection: socket.socket, problem: ProblemError) -> None:
        # With TLS, the connection is closed without an answer.
        with connection:
            if self._relay is None:
                send_problem(connection, problem)


def _first_reserved() -> int:
    """Return the lowest descriptor number that is reserved for vital requests.

    All higher numbers are reserved too. The kernel always assigns the lowest free number, so a
    connection gets a reserved number only if all other numbers are in use.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - min(MOST_RESERVED, soft // RESERVED_SHARE)


def _open_spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
