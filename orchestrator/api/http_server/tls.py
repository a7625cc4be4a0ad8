"""TLS for waitress, which does not support TLS.

One thread relays data between each caller and one end of a socket pair. Waitress gets the other
end, with the caller's address. The limits, timeouts, and proxy settings of waitress therefore work
as for plain HTTP. An unfinished TLS handshake looks to waitress like a request with an incomplete
head.
"""

import asyncio
import logging
import resource
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

from orchestrator.core.errors import OrchestratorError

logger = logging.getLogger(__name__)

#: Seconds for a caller to read the remaining data of an ended connection.
LINGER_SECONDS = 30.0
#: The process's descriptor limit, divided by this number, is the maximum number of relayed
#: connections. Each relayed connection needs three descriptors.
SHARE_OF_DESCRIPTORS = 4
#: Seconds for a caller to read the remaining data when the server stops.
FLUSH_SECONDS = 1.0
WRITE_BUFFER_BYTES = 64 * 1024


class BadCertificate(OrchestratorError):
    """The certificate and key of the server cannot be used."""

    kind = "bad-certificate"


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a TLS context for TLS 1.2 or newer with this certificate.

    Raise BadCertificate if the certificate or the key cannot be read or used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    for name, path in (("certificate", certificate), ("key", key)):
        if reason := _unreadable(path):
            raise BadCertificate(
                f"api.tls.{name}: {path} cannot be read: {reason}; correct the path or the "
                "permissions of the file"
            )
    try:
        # Without this password, OpenSSL would ask in the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        raise BadCertificate(
            f"api.tls: cannot use {key} and {certificate}: either they do not match, or the key "
            "has a password, or a file is not in PEM form; give a certificate and its key in PEM "
            "form, without a password"
        ) from error
    return context


def _unreadable(path: Path) -> str | None:
    try:
        path.open("rb").close()
    except OSError as error:
        return error.strerror
    return None


class Relay:
    """Decrypts connections for waitress in one thread, which ``start`` starts."""

    def __init__(self, context: ssl.SSLContext, limit: int) -> None:
        """``limit``: the number of connections above which the relay starts to end connections.

        For each new connection above the limit, the relay ends one connection whose client does not
        read its answers. The relay chooses the client that has not read for the longest time.
        """
        self._context = context
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._limit = min(limit, soft // SHARE_OF_DESCRIPTORS)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tls", daemon=True)
        self._stop = asyncio.Event()
        self._relayed: dict[asyncio.Task[None], _Caller] = {}
        #: Callers with unread answers; the caller that has not read for the longest time is first.
        #: Waitress may have ended these connections, and then does not count them.
        self._behind: dict[_Caller, None] = {}

    def start(self) -> None:
        self._thread.start()

    def take(self, connection: socket.socket) -> socket.socket:
        """Take over a caller's connection. Return a socket for waitress, with the decrypted data.

        Raise OSError if no descriptor is available.
        """
        try:
            relay_end, plain = socket.socketpair()
        except OSError:
            connection.close()
            raise
        self._loop.call_soon_threadsafe(self._begin, connection, relay_end)
        return plain

    def close(self) -> None:
        """Send the remaining output of waitress for at most FLUSH_SECONDS, then end. Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        await self._stop.wait()
        if self._relayed:
            await asyncio.wait(self._relayed, timeout=FLUSH_SECONDS)
        for caller in self._relayed.values():
            caller.abort()
        if self._relayed:
            await asyncio.wait(self._relayed, timeout=FLUSH_SECONDS)

    def _begin(self, connection: socket.socket, relay_end: socket.socket) -> None:
        caller = _Caller(connection, self._behind)
        task = self._loop.create_task(self._relay(caller, relay_end))
        self._relayed[task] = caller
        task.add_done_callback(self._relayed.pop)
        if len(self._relayed) > self._limit and self._behind:
            next(iter(self._behind)).abort()

    async def _relay(self, caller: "_Caller", relay_end: socket.socket) -> None:
        loop, connection = self._loop, caller.connection
        # Connect waitress' side first: waitress may end the connection during the handshake.
        await loop.connect_accepted_socket(lambda: caller.server, relay_end)
        try:
            await loop.connect_accepted_socket(
                lambda: caller, connection, ssl=self._context, ssl_shutdown_timeout=LINGER_SECONDS
            )
        except OSError as error:
            logger.debug("TLS handshake failed: %r", error)
            caller.server.end()
        else:
            await caller.lost.wait()
        await caller.server.lost.wait()


class _Side(asyncio.Protocol):
    """One side of a relayed connection. Sends the data that it receives to the other side."""

    other: "_Side"

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        receiver = self.other.transport
        if receiver is not None and not receiver.is_closing():
            receiver.write(data)

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.resume_reading()

    def eof_received(self) -> None:
        # Without TLS, waitress also ends a connection when its caller stops sending.
        self.other.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self.other.end()

    def end(self) -> None:
        if self.transport is not None:
            self.transport.close()


class _Caller(_Side):
    def __init__(self, connection: socket.socket, behind: dict["_Caller", None]) -> None:
        super().__init__()
        self.connection = connection
        self.server = self.other = _Side()
        self.server.other = self
        self._behind = behind

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        # Lower than the default, which is half a megabyte for each caller that does not read.
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def pause_writing(self) -> None:
        self._behind[self] = None
        super().pause_writing()

    def resume_writing(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self._behind.pop(self, None)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._behind.pop(self, None)
        super().connection_lost(exc)

    def end(self) -> None:
        if self.transport is None:
            self.abort()
            return
        if self.transport.is_closing():
            return  # after a second close(), abort() would do nothing
        self.transport.close()
        self._behind[self] = None

    def abort(self) -> None:
        """Close the connection at once. Idempotent."""
        self._behind.pop(self, None)
        if self.transport is not None:
            self.transport.abort()
            return
        with suppress(OSError):
            # The shutdown makes the handshake fail.
            self.connection.shutdown(socket.SHUT_RDWR)
