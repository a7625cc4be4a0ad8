"""Messages between server and node: JSON objects, each after its length in four bytes, over TLS.

node -> server                                    server -> node
hello {name, instance, version, uid, python,      welcome {terms, plan, files: {attempt: bytes},
       slots, attempts: {attempt: bases},                  late: {attempt: bytes}, programs,
       own_files, known}                                   environment, workspace, shared, mark,
                                                           places, addresses}
beat {n, memory}                                  refused {why}: instead of a welcome
agents {names}, unfit {why}                       ok {n}
had {bytes}                                       files {attempt, at, data}: before its start
started {attempt, pid}                            start {launch, files}, stop {attempt, ...}
piece {attempt, file, at, data}                   waiting {attempt, on}
ended {attempt, exit, record, files}              got {bytes}, again {attempt}: the disk was full
no_result {attempt}: of a late attempt            kept {attempt}: the node may forget it
leaving {}                                        addresses {addresses}: they have changed
tcp {connection, data}                            tcp {connection, data}
snapshot {attempt, n, ...}: the worktree          snapshot {attempt, n}, had {bytes}
                                                  file {attempt, path, data}: written later
brought {attempt, n, error}                       result {attempt, n, at, data}, bring {attempt, n}

A node repeats ``ended`` on each new connection until the server has answered ``kept``. If the
server expects an attempt that the node does not know, the attempt never started on the node:
``start`` was lost with the connection.

``files`` goes to nodes with their own file systems only. On such a node, the files that an attempt
has left come back as pieces of the file ``files``, before ``ended``, which has their digest.

``snapshot`` asks such a node for the state of a running attempt's worktree. The answer is messages
of the same kind and number ``n``: pieces of an archive, and at last its digest. ``bring`` changes
the worktree's files, after the pieces ``result`` with the commits. Requests are not repeated on the
next connection.
"""

import asyncio
import json
import socket
import ssl
import struct
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

Message = dict[str, Any]

#: Bytes of one piece of a file or of a connection.
CHUNK = 64 * 1024
#: Maximum bytes of logs that a node has sent and the server has not confirmed.
WINDOW = 1024 * 1024
#: Maximum bytes of a message: several times the size of a launch's arguments and environment.
_MOST_BYTES = 32 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_encode = json.JSONEncoder(check_circular=False).encode
#: Name in the server's certificate, which nodes check.
SERVER_NAME = "server.orchestrator.internal"


def packed(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def unpacked(text: str) -> bytes:
    return b64decode(text)


class Link:
    """One end of a connection. Only the thread of its event loop may call."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._draining = asyncio.Lock()

    def post(self, message: Message) -> None:
        """Send a message soon, without waiting. Only ``receive`` reports a broken connection."""
        if self._writer.is_closing():
            return
        body = _encode(message).encode("ascii")
        self._writer.write(_LENGTH.pack(len(body)) + body)

    @property
    def is_closed(self) -> bool:
        return self._writer.is_closing()

    async def drained(self) -> None:
        """Wait until most posted messages are sent. Raise OSError if the connection is broken."""
        async with self._draining:
            await self._writer.drain()

    async def receive(self) -> Message:
        """Return the next message. Raise OSError if the connection is broken."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > _MOST_BYTES:
                raise ConnectionError(
                    f"received a message of {length} bytes; the maximum is {_MOST_BYTES}"
                )
            message = json.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ValueError, RecursionError) as error:
            raise ConnectionError(str(error)) from error
        if not isinstance(message, dict):
            raise ConnectionError("received a message that is not a JSON object")
        return message

    def peer(self) -> tuple[str, str]:
        """Return the name and the serial number in the peer's certificate."""
        found: Any = self._writer.get_extra_info("peercert") or {}
        subject = dict(pair for group in found.get("subject", ()) for pair in group)
        return subject.get("commonName", ""), str(found.get("serialNumber", "")).lstrip("0")

    def address(self) -> str:
        return str((self._writer.get_extra_info("peername") or ("unknown",))[0])

    def abort(self) -> None:
        """Close the connection at once, without sending queued messages. Idempotent."""
        self._writer.transport.abort()


def is_filled(path: Path) -> bool:
    """True if ``path`` is a file, or a directory that is readable and not empty."""
    try:
        return path.is_file() or any(path.iterdir())
    except OSError:
        return False


def tcp_socket(family: int) -> socket.socket:
    """Return a new socket to listen on.

    The protocol is set explicitly, because asyncio disables Nagle's algorithm only for such
    sockets. The algorithm would delay a small message for up to 40 ms, until the previous message
    is acknowledged.
    """
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def tls(directory: Path, name: str, *, is_server: bool) -> ssl.SSLContext:
    """Return the TLS settings for the certificate ``name`` in a directory. Raise OSError.

    Both ends must have certificates of the same authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(str(directory / "ca.pem"))
    context.load_cert_chain(str(directory / f"{name}.pem"), str(directory / f"{name}.key"))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class Window:
    """Limits the bytes that were sent on one link and are not confirmed. Only the loop's thread may
    call.
    """

    def __init__(self) -> None:
        self._on_way = 0
        self._is_closed = False
        self._changed = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait until ``size`` bytes may be sent. Raise ConnectionError after ``close``."""
        while self._on_way >= WINDOW and not self._is_closed:
            self._changed.clear()
            await self._changed.wait()
        if self._is_closed:
            raise ConnectionError("the connection to the node ended")
        self._on_way += size

    def confirm(self, size: int) -> None:
        self._on_way -= size
        self._changed.set()

    def close(self) -> None:
        self._is_closed = True
        self._changed.set()
