"""Serves an application with waitress."""

import errno
import logging
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any
from wsgiref.types import WSGIApplication

from waitress import create_server, wasyncore
from waitress.server import BaseWSGIServer

from orchestrator.api.http_server.poll_cache import PollCache
from orchestrator.api.http_server.waitress_connections import (
    LARGEST_HEADER_BYTES,
    RESERVED_CONNECTIONS,
    Acceptor,
    Dispatcher,
    EventLoop,
    HttpChannel,
    channels_of,
    end_late,
)
from orchestrator.api.server_options import MIB
from orchestrator.core.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.api.http_server.tls import Relay

#: Maximum seconds between two checks of waitress' connections.
LOOP_SECONDS = 1.0
#: Maximum seconds to complete running requests when the server stops.
FINISH_SECONDS = 5
FLUSH_SECONDS = 1.0
BACKLOG = 1024
IDLE_SECONDS = 120
PORT_ZERO_TRIES = 20

#: Loopback address of each wildcard address, for programs on this machine.
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class CannotListen(OrchestratorError):
    """The server cannot listen on its address."""

    kind = "cannot-listen"


class PortTaken(CannotListen):
    """The port is taken by another program."""

    kind = "port-taken"


class HttpServer:
    """A bound server. ``run`` serves in the calling thread until ``close`` is called."""

    def __init__(
        self,
        application: WSGIApplication,
        public: list[socket.socket],
        local: Sequence[socket.socket],
        tls: ssl.SSLContext | None,
        poll_cache: PollCache | None,
        **options: Any,
    ):
        self.host, self.port = public[0].getsockname()[:2]
        self._local = local[0].getsockname()[:2] if local else None
        self._map: dict[int, Any] = {}
        self._events = EventLoop(self._map)
        self._running = False
        self._closing = threading.Event()
        #: Held while the loop is woken. Without the lock, another thread could close the trigger,
        #: and the wake-up could write to a new file with the same descriptor. Reentrant, because a
        #: signal handler may wake the loop, too.
        self._waking = threading.RLock()
        self._stopped = threading.Event()
        self._dispatcher = Dispatcher(options["threads"])
        self._limit = options.pop("connection_limit")
        # Higher than our own limit: waitress accepts no connection above its limit, not even a
        # connection that we would reject. Waitress also counts listeners and triggers.
        options["connection_limit"] = self._limit + 2 * RESERVED_CONNECTIONS
        self._application, self._options = application, options
        self._poll_cache = poll_cache
        self._listeners: list[Any] = []
        self._acceptors: list[Acceptor] = []
        #: Ports of earlier servers. Workers of these servers still call the ports.
        self.former_ports: list[int] = []
        self._former: list[Any] = []
        self._checks_at = 0.0
        self._relay: Relay | None = None
        if tls:
            # Imported here, because most servers have no TLS, and the import of asyncio is slow.
            from orchestrator.api.http_server import tls as relays

            self._relay = relays.Relay(tls, self._limit)
        self._listen(public, self._relay)
        if local:
            self._listen(local)

    def _listen(
        self, sockets: Sequence[socket.socket], relay: "Relay | None" = None
    ) -> Sequence[Any]:
        create_server(
            self._application,
            map=self._map,
            sockets=list(sockets),
            _dispatcher=self._dispatcher,
            **self._options,
        )
        listeners = [each for each in self._map.values() if isinstance(each, BaseWSGIServer)]
        new_listeners = [each for each in listeners if each not in self._listeners]
        for listener in new_listeners:
            acceptor = Acceptor(listener, self.channels, self._limit, relay)
            listener.channel_class = HttpChannel
            listener.poll_cache = self._poll_cache
            listener.accept, listener.is_crowded = acceptor.accept, acceptor.is_crowded
            if relay is not None:
                _mark_as_https(listener)
            self._acceptors.append(acceptor)
        self._listeners += new_listeners
        return new_listeners

    def listen_on_former_ports(self, sockets: list[socket.socket]) -> None:
        """Also accept connections on ``sockets``, which listen on the port of an earlier server.

        Call this before ``run``.
        """
        self._former += self._listen(sockets)
        self.former_ports.append(sockets[0].getsockname()[1])

    def close_former_ports(self) -> None:
        """Stop listening on the ports of earlier servers. Open connections stay. Idempotent."""
        self.former_ports = []  # the loop closes the listeners of these ports

    @property
    def url(self) -> str:
        """The URL for programs on this machine."""
        host = self._local[0] if self._local else LOOPBACK_OF.get(self.host, self.host)
        return _url("http", host, self.local_port)

    @property
    def local_port(self) -> int:
        return int(self._local[1] if self._local else self.port)

    @property
    def listening_url(self) -> str:
        """URL of the listening address, which may be the address of all interfaces."""
        return _url("https" if self._relay else "http", self.host, self.port)

    def channels(self) -> Sequence[HttpChannel]:
        return channels_of(self._map)

    def run(self) -> None:
        """Serve until ``close`` is called, and complete the running requests."""
        self._running = True
        if self._relay:
            self._relay.start()
        try:
            while not self._closing.is_set():
                self._turn(LOOP_SECONDS)
        finally:
            self._shut_down()

    def start(self) -> threading.Thread:
        self._running = True
        thread = threading.Thread(target=self.run, name="http", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Stop serving. Idempotent. Signal handlers and any thread may call."""
        if self._closing.is_set():
            return
        with self._waking:
            # Set this before the wake-up, because the loop checks the flag when it wakes.
            self._closing.set()
            if self._running and not self._stopped.is_set():
                self._listeners[0].pull_trigger()
        if not self._running:
            self._shut_down()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until ``run`` has ended. Return False if ``run`` has not ended after ``seconds``."""
        return self._stopped.wait(seconds)

    def _turn(self, seconds: float) -> None:
        if not self._map:
            return
        self._events.turn(seconds)
        while self._former and not self.former_ports:
            wasyncore.dispatcher.close(self._former.pop())
            self._events.ask_again()
        if (now := time.monotonic()) >= self._checks_at:
            self._checks_at = now + LOOP_SECONDS
            end_late(self.channels())
            # Also ask the listeners: waitress checks its timeouts when ``readable`` of a listener
            # is called.
            self._events.ask_again()

    def _shut_down(self) -> None:
        if self._stopped.is_set():
            return
        self._closing.set()
        for listener in self._listeners:
            # Do not call ``listener.close()``, which also closes the trigger: the trigger still has
            # to wake the loop for running answers.
            wasyncore.dispatcher.close(listener)
        for acceptor in self._acceptors:
            acceptor.close()
        self._finish()
        self._flush()
        with self._waking:
            wasyncore.close_all(self._map)
            for listener in self._listeners:
                listener.trigger.close()
            if self._relay:
                self._relay.close()
            self._stopped.set()

    def _finish(self) -> None:
        """Complete the requests that are being answered, and drop all other requests."""
        deadline = time.monotonic() + FINISH_SECONDS
        self._dispatcher.finish()
        while time.monotonic() < deadline and not self._dispatcher.is_finished:
            self._turn(0.05)
        self._dispatcher.drop()

    def _flush(self) -> None:
        deadline = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < deadline and any(
            getattr(each, "total_outbufs_len", 0) for each in self._map.values()
        ):
            self._turn(0.05)


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _mark_as_https(listener: Any) -> None:
    # The listener gets plain HTTP from the TLS relay, but callers use https.
    listener.adj = copy(listener.adj)
    listener.adj.url_scheme = "https"
    listener.adj.socket_options = []


def serve(
    app: WSGIApplication,
    *,
    host: str = "localhost",
    port: int = 8000,
    threads: int = 16,
    connection_limit: int = 2000,
    max_request_bytes: int = 8 * MIB,
    tls: ssl.SSLContext | None = None,
    local_port: int | None = None,
    keeps_forwarded: bool = False,
) -> HttpServer:
    """Bind a server to its addresses. Port 0 means any free port.

    Raise PortTaken if another program uses the port. Raise CannotListen if the server cannot listen
    on the address.

    - ``tls``: TLS context for ``host`` and ``port``.
    - ``local_port``: port of a second address with plain HTTP, for programs on this machine; None:
      no second address.
    - ``keeps_forwarded``: True if ``app`` checks the sender of the headers ``X-Forwarded-*``. The
      headers are then kept.
    """
    public = bind(host, port)
    try:
        local = [] if local_port is None else bind("localhost", local_port)
    except CannotListen:
        _close(public)
        raise
    # Hide waitress' warnings about queued requests, because queued requests are normal.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return HttpServer(
        app,
        public,
        local,
        tls,
        _poll_cache_of(app),
        threads=threads,
        connection_limit=connection_limit,
        # One byte more than the limit: Flask must reject a body that is too large before waitress
        # does.
        max_request_body_size=max_request_bytes + 1,
        max_request_header_size=LARGEST_HEADER_BYTES,
        # select() would end the whole process at descriptor 1,024.
        asyncore_use_poll=True,
        channel_timeout=IDLE_SECONDS,
        backlog=BACKLOG,
        ident=None,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=not keeps_forwarded,
    )


def _poll_cache_of(app: WSGIApplication) -> PollCache | None:
    application = getattr(app, "wsgi_app", app)
    return application if isinstance(application, PollCache) else None


def bind(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets, one for each address of ``host``, all on the same port.

    Raise the same errors as ``serve``.
    """
    addresses = _addresses(host, port)
    tries = PORT_ZERO_TRIES if port == 0 else 1
    for remaining_tries in reversed(range(tries)):
        try:
            return _bind_all(addresses, host, port)
        except PortTaken:
            # The kernel chose a port that is free on the first address, but in use on another
            # address. Try another port.
            if not remaining_tries:
                raise
    raise AssertionError("unreachable")


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    name = None if host in ("", "*") else host.strip("[]")
    try:
        entries = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CannotListen(
            f"cannot listen on {host!r}: {error}; set api.host to localhost or to an "
            "address of this machine"
        ) from error
    unique = dict.fromkeys((family, address) for family, _, _, _, address in entries)
    # IPv4 first, because every client can reach it.
    return sorted(unique, key=lambda pair: pair[0] != socket.AF_INET)


def _bind_all(
    addresses: list[tuple[socket.AddressFamily, Any]], host: str, port: int
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in addresses:
        wanted_port = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_listen(family, (address[0], wanted_port, *address[2:])))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                _close(sockets)
                raise _bind_error(error, host, wanted_port) from error
            failure = error  # this machine does not have the address family
    if not sockets:
        raise CannotListen(
            f"cannot listen on {host!r}: {failure}; set api.host to localhost or to an address of "
            "this machine"
        ) from failure
    return sockets


def _listen(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restarted server may use its port although old connections remain.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _bind_error(error: OSError, host: str, port: int) -> CannotListen:
    if error.errno == errno.EACCES:
        return CannotListen(
            f"no permission to listen on port {port}, because ports below 1024 need privileges; "
            "set api.port to a higher port"
        )
    return PortTaken(
        f"port {port} on {host} is in use by another program; stop that program, or set another "
        "port: api.port in config.yaml, or ORCHESTRATOR_API__PORT=8123"
    )


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
