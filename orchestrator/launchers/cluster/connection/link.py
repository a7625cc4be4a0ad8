"""TLS connections between server and node, which transport messages.

A message is a JSON object, preceded by its length (4 bytes). The module ``messages`` defines the
kinds of messages.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.launchers.cluster.connection.messages import Message, encode

#: Maximum bytes of one piece of a file, or of one message of a tunnel.
CHUNK = 64 * 1024
#: Maximum bytes of logs that a node has sent and the server has not confirmed.
WINDOW = 1024 * 1024
#: Maximum bytes of a message: several times the size of a launch's arguments and environment.
_MOST_BYTES = 32 * 1024 * 1024
_LENGTH = struct.Struct(">I")
#: Bytes of one read: the size of a TLS record.
_READ_BYTES = 16 * 1024
_to_json, _from_json = json.JSONEncoder(check_circular=False).encode, json.JSONDecoder().decode
#: Name in the server's certificate, which nodes check.
SERVER_NAME = "server.orchestrator.internal"


class Link(asyncio.BufferedProtocol):
    """One end of a connection between server and node. Only its event loop's thread may call.

    Messages that are posted in one step of the loop are sent together. asyncio's streams are not
    used, because they wake a task for each part of a message.
    """

    def __init__(self, connected: "Callable[[Link], None] | None" = None) -> None:
        """``connected`` is called with the link after the TLS handshake."""
        self._loop = asyncio.get_running_loop()
        self._connected = connected
        self._transport: asyncio.Transport | None = None
        self._read = memoryview(bytearray(_READ_BYTES))
        self._unread = bytearray()
        self._received: deque[dict[str, Any]] = deque()
        self._receiving: asyncio.Future[None] | None = None
        self._unsent = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()
        #: Why no more messages arrive; None: the connection works.
        self._error: OSError | None = None
        #: Time of the event loop at which the latest data arrived.
        self.heard_at = self._loop.time()

    # Methods that the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._connected is not None:
            self._connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        self.heard_at = self._loop.time()
        if self._error is not None:
            return
        self._unread += self._read[:nbytes]
        try:
            self._split_messages()
        except (ValueError, RecursionError) as error:
            self._end(ConnectionError(str(error)))
            self.abort()
        if self._received or self._error is not None:
            self._wake_receiver()

    def eof_received(self) -> None:
        self._end(ConnectionError("the peer closed the connection"))
        self._wake_receiver()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc if isinstance(exc, OSError) else ConnectionError("the connection ended"))
        self._wake_receiver()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # Messages

    def post(self, message: Message) -> None:
        """Send a message soon, without waiting.

        This method raises no error if the connection is broken; ``receive`` and ``drained`` do.
        """
        body = _to_json(encode(message)).encode("ascii")
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent += _LENGTH.pack(len(body))
        self._unsent += body

    def _flush(self) -> None:
        if self._unsent:
            unsent, self._unsent = self._unsent, bytearray()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(unsent)

    @property
    def is_closed(self) -> bool:
        return self._error is not None or self._transport is None or self._transport.is_closing()

    async def drained(self) -> None:
        """Wait until most of the posted data is sent. Raise OSError if the connection is broken."""
        self._flush()
        await self._writable.wait()
        if self._error is not None:
            raise self._error

    async def receive(self) -> dict[str, Any]:
        """Return the JSON of the next message. Raise OSError if the connection is broken.

        Call ``decode_from_node`` or ``decode_from_server`` with the result.
        """
        while not self._received:
            if self._error is not None:
                raise self._error
            self._receiving = self._loop.create_future()
            await self._receiving
        return self._received.popleft()

    def _split_messages(self) -> None:
        unread, at = self._unread, 0
        while len(unread) >= at + _LENGTH.size:
            (length,) = _LENGTH.unpack_from(unread, at)
            if length > _MOST_BYTES:
                raise ValueError(
                    f"received a message of {length} bytes; the maximum is {_MOST_BYTES}"
                )
            end = at + _LENGTH.size + length
            if len(unread) < end:
                break
            message = _from_json(unread[at + _LENGTH.size : end].decode("utf-8"))
            if not isinstance(message, dict):
                raise ValueError("received a message that is not a JSON object")
            self._received.append(message)
            at = end
        del unread[:at]

    def _end(self, error: OSError) -> None:
        self._error = self._error or error

    def _wake_receiver(self) -> None:
        if self._receiving is not None and not self._receiving.done():
            self._receiving.set_result(None)

    # The connection

    def peer(self) -> tuple[str, str]:
        """Return the name and the serial number in the peer's certificate."""
        found: Any = self._extra("peercert") or {}
        subject = dict(pair for group in found.get("subject", ()) for pair in group)
        return subject.get("commonName", ""), str(found.get("serialNumber", "")).lstrip("0")

    def address(self) -> str:
        return str((self._extra("peername") or ("unknown",))[0])

    def _extra(self, name: str) -> Any:
        return None if self._transport is None else self._transport.get_extra_info(name)

    def close(self) -> None:
        """Close the connection after all posted messages are sent. Idempotent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once; unsent messages may be lost. Idempotent."""
        self._flush()
        if self._transport is not None:
            self._transport.abort()


def is_filled(path: Path) -> bool:
    """True if ``path`` is a file, or a directory that is readable and not empty."""
    try:
        return path.is_file() or any(path.iterdir())
    except OSError:
        return False


def tcp_socket(family: int) -> socket.socket:
    """Return a new TCP socket to listen on.

    The socket is created with an explicit protocol. Otherwise, asyncio would not disable Nagle's
    algorithm, which delays a small message for up to 40 ms.
    """
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def tls(directory: Path, name: str, *, is_server: bool) -> ssl.SSLContext:
    """Return the TLS settings for the certificate ``name`` in a directory.

    The private key of a server is in the certificate's file. The key of a node, and of a server of
    an earlier release, is in a separate file next to the certificate. Both ends must have
    certificates of the same authority. Raise OSError if a certificate or key is missing or invalid.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(str(directory / "ca.pem"))
    certificate = directory / f"{name}.pem"
    has_key = b"PRIVATE KEY" in certificate.read_bytes()
    context.load_cert_chain(certificate, None if has_key else certificate.with_suffix(".key"))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class Window:
    """Limits the bytes that are sent on one link and not yet confirmed by the peer.

    Only the event loop's thread may call.
    """

    def __init__(self) -> None:
        self._unconfirmed_bytes = 0
        self._is_closed = False
        self._changed = asyncio.Event()

    async def reserve(self, size: int) -> None:
        """Wait until ``size`` bytes may be sent, and count these bytes as sent.

        Raise ConnectionError after ``close``.
        """
        while self._unconfirmed_bytes >= WINDOW and not self._is_closed:
            self._changed.clear()
            await self._changed.wait()
        if self._is_closed:
            raise ConnectionError("the connection to the node ended")
        self._unconfirmed_bytes += size

    def confirm(self, size: int) -> None:
        self._unconfirmed_bytes -= size
        self._changed.set()

    def close(self) -> None:
        self._is_closed = True
        self._changed.set()
