"""Serving an application with waitress."""

import errno
import logging
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import create_server, wasyncore
from waitress.server import BaseWSGIServer

from orchestrator.api.connections import (
    LARGEST_HEADER_BYTES,
    Channel,
    Dispatcher,
    channels_of,
    end_late,
)
from orchestrator.api.door import KEPT_CONNECTIONS, Door
from orchestrator.api.options import MIB
from orchestrator.core.errors import OrchestratorError

#: Waitress looks at its connections at least so often.
LOOP_SECONDS = 1.0
#: What a stopping server gives the requests that are being answered.
FINISH_SECONDS = 5
FLUSH_SECONDS = 1.0
BACKLOG = 1024
IDLE_SECONDS = 120
PORT_ZERO_TRIES = 20

#: Where one reaches what listens on every address.
REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class CannotListen(OrchestratorError):
    """The server cannot listen on its address."""

    kind = "cannot-listen"


class PortTaken(CannotListen):
    """The port is taken by another program."""

    kind = "port-taken"


class Server:
    """A bound server. ``run`` serves in the calling thread until ``close`` is called."""

    def __init__(self, sockets: list[socket.socket], application: WSGIApplication, **how: Any):
        self.host, self.port = sockets[0].getsockname()[:2]
        self._map: dict[int, Any] = {}
        self._running = False
        self._closing = threading.Event()
        #: Held while the loop is woken: its trigger is a descriptor, which must not be closed and
        #: be another's by then. Reentrant, for a signal handler.
        self._waking = threading.RLock()
        self._stopped = threading.Event()
        self._dispatcher = Dispatcher(how["threads"])
        limit = how.pop("connection_limit")
        # Waitress' own limit keeps everybody out: the doors see to it that it is not reached.
        how["connection_limit"] = limit + KEPT_CONNECTIONS + 2 * len(sockets)
        create_server(
            application, map=self._map, sockets=sockets, _dispatcher=self._dispatcher, **how
        )
        self._listeners = [one for one in self._map.values() if isinstance(one, BaseWSGIServer)]
        self._doors = [Door(listener, self.channels, limit) for listener in self._listeners]
        self._checks_at = 0.0
        for listener, door in zip(self._listeners, self._doors, strict=True):
            listener.channel_class = Channel
            listener.accept, listener.is_crowded = door.accept, door.is_crowded

    @property
    def url(self) -> str:
        """How programs on this machine reach it."""
        return _url(REACHED_AT.get(self.host, self.host), self.port)

    @property
    def listens_at(self) -> str:
        """The address that it listens on, which may be every one of this machine's."""
        return _url(self.host, self.port)

    def channels(self) -> Sequence[Channel]:
        """Its open connections."""
        return channels_of(self._map)

    def run(self) -> None:
        """Serve until ``close``; requests that are being answered are finished."""
        self._running = True
        try:
            while not self._closing.is_set():
                self._turn(LOOP_SECONDS)
        finally:
            self._shut_down()

    def start(self) -> threading.Thread:
        """Serve in a thread of its own."""
        self._running = True
        thread = threading.Thread(target=self.run, name="http", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Stop serving. Idempotent; may be called by a signal handler and from any thread."""
        if self._closing.is_set():
            return
        with self._waking:
            # The loop may see it by itself, and be done before it is woken.
            self._closing.set()
            if self._running and not self._stopped.is_set():
                self._listeners[0].pull_trigger()
        if not self._running:
            self._shut_down()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until ``run`` has ended; False when the time is over."""
        return self._stopped.wait(seconds)

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)
        if (now := time.monotonic()) >= self._checks_at:
            self._checks_at = now + LOOP_SECONDS
            end_late(self.channels())

    def _shut_down(self) -> None:
        if self._stopped.is_set():
            return
        self._closing.set()
        for listener in self._listeners:
            # Not close(): its trigger still has to wake the loop for what is being answered.
            wasyncore.dispatcher.close(listener)
        for door in self._doors:
            door.close()
        self._finish()
        self._flush()
        with self._waking:
            wasyncore.close_all(self._map)
            for listener in self._listeners:
                listener.trigger.close()
            self._stopped.set()

    def _finish(self) -> None:
        """Answer what is being answered; what has not been begun is not any more."""
        until = time.monotonic() + FINISH_SECONDS
        self._dispatcher.finish()
        while time.monotonic() < until and not self._dispatcher.is_finished:
            self._turn(0.05)
        self._dispatcher.drop()

    def _flush(self) -> None:
        """Send what is answered already."""
        until = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < until and any(self._unsent()):
            self._turn(0.05)

    def _unsent(self) -> Iterable[int]:
        return (getattr(one, "total_outbufs_len", 0) for one in self._map.values())


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: WSGIApplication,
    *,
    host: str = "localhost",
    port: int = 8000,
    threads: int = 16,
    connection_limit: int = 2000,
    max_request_bytes: int = 8 * MIB,
) -> Server:
    """Bind a server; port 0 takes a free one. Raise PortTaken or CannotListen. Prints nothing."""
    sockets = bind(host, port)
    # Queued requests are no news, and readers may leave whenever they like.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return Server(
        sockets,
        app,
        threads=threads,
        connection_limit=connection_limit,
        # One more: exactly the limit is allowed, and Flask says so for one byte more.
        max_request_body_size=max_request_bytes + 1,
        max_request_header_size=LARGEST_HEADER_BYTES,
        # select() ends the whole process at the 1,024th descriptor.
        asyncore_use_poll=True,
        channel_timeout=IDLE_SECONDS,
        backlog=BACKLOG,
        ident=None,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=True,
    )


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets, one for each address of ``host``, all on the same port."""
    addresses = _addresses(host, port)
    tries = PORT_ZERO_TRIES if port == 0 else 1
    for left in reversed(range(tries)):
        try:
            return _bind_all(addresses, host, port)
        except PortTaken:
            # The free port of the first address was taken on the second.
            if not left:
                raise
    raise AssertionError("unreachable")


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    name = None if host in ("", "*") else host.strip("[]")
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CannotListen(
            f"cannot listen on {host!r}: {error}; set api.host to localhost or to an "
            "address of this machine"
        ) from error
    unique = dict.fromkeys((family, address) for family, _, _, _, address in found)
    # IPv4 first: it is the address that everything can reach.
    return sorted(unique, key=lambda one: one[0] != socket.AF_INET)


def _bind_all(
    addresses: list[tuple[socket.AddressFamily, Any]], host: str, port: int
) -> list[socket.socket]:
    bound: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in addresses:
        wanted = bound[0].getsockname()[1] if bound else port
        try:
            bound.append(_listen(family, (address[0], wanted, *address[2:])))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                _close(bound)
                raise _refused(error, host, wanted) from error
            failure = error  # a family that this machine does not have
    if not bound:
        raise CannotListen(f"cannot listen on {host!r}: {failure}") from failure
    return bound


def _listen(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restarted server takes its port although old connections linger.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _refused(error: OSError, host: str, port: int) -> CannotListen:
    if error.errno == errno.EACCES:
        return CannotListen(
            f"may not listen on port {port}; ports below 1024 need privileges: set api.port "
            "to a higher one"
        )
    return PortTaken(
        f"port {port} on {host} is taken by another program; stop it, or set another port: "
        "api.port in config.yaml, or ORCHESTRATOR_API__PORT=8123"
    )


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()
