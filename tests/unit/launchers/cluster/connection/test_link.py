"""Messages over a connection without TLS."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Coroutine

import pytest

from orchestrator.launchers.cluster.connection.link import Link
from orchestrator.launchers.cluster.connection.messages import NodeUnfit, OutputReceived


def _framed(*messages: object) -> bytes:
    bodies = [json.dumps(each).encode() for each in messages]
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


def _run(act: Callable[[Link, socket.socket], Coroutine[object, object, None]]) -> None:
    """Call ``act`` with a link, and with the other end of its connection."""

    async def connected() -> None:
        own, peer = socket.socketpair()
        with peer:
            peer.setblocking(False)
            _, link = await asyncio.get_running_loop().create_connection(Link, sock=own)
            async with asyncio.timeout(30):
                await act(link, peer)
            link.abort()

    asyncio.run(connected())


def test_messages_arrive_in_order_however_the_bytes_are_split() -> None:
    messages = [{"n": number, "text": "x" * number * 5000} for number in range(8)]

    async def act(link: Link, peer: socket.socket) -> None:
        async def send() -> None:
            data = _framed(*messages)
            for at in range(0, len(data), 7001):
                await asyncio.get_running_loop().sock_sendall(peer, data[at : at + 7001])

        sending = asyncio.ensure_future(send())
        assert [await link.receive() for _ in messages] == messages
        await sending

    _run(act)


def test_messages_before_the_end_of_a_connection_are_received() -> None:
    async def act(link: Link, peer: socket.socket) -> None:
        peer.sendall(_framed({"n": 1}, {"n": 2}) + b"\0\0")
        peer.close()
        assert [await link.receive() for _ in range(2)] == [{"n": 1}, {"n": 2}]
        with pytest.raises(ConnectionError, match="closed"):
            await link.receive()
        with pytest.raises(OSError):
            await link.drained()

    _run(act)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (_framed([1]), "not a JSON object"),
        (b"\0\0\0\1{", "Expecting"),
        (b"\0\0\0\1\xff", "decode"),
        (b"\xff\xff\xff\xff", "the maximum is"),
        (b"\0\3\x0d\x40" + b"[" * 200_000, "recursion|overflow"),
        (b"\0\0\x13\x88" + b"9" * 5000, "digit"),
    ],
    ids=["no object", "no JSON", "no text", "too long", "nested", "a long number"],
)
def test_an_invalid_message_ends_the_connection(data: bytes, why: str) -> None:
    async def act(link: Link, peer: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(peer, _framed({"n": 1}) + data)
        assert await link.receive() == {"n": 1}
        with pytest.raises(ConnectionError, match=why):
            await link.receive()
        assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""

    _run(act)


def test_messages_of_one_step_are_sent_together() -> None:
    async def act(link: Link, peer: socket.socket) -> None:
        for number in range(3):
            link.post(OutputReceived(number))
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        await link.drained()
        assert peer.recv(1000) == _framed(*({"do": "got", "bytes": number} for number in range(3)))

    _run(act)


def test_a_closed_connection_has_sent_all_posted_messages() -> None:
    async def act(link: Link, peer: socket.socket) -> None:
        link.post(OutputReceived(0))
        link.close()
        found = b""
        while data := await asyncio.get_running_loop().sock_recv(peer, 1000):
            found += data
        assert found == _framed({"do": "got", "bytes": 0})

    _run(act)


def test_a_full_connection_is_waited_for() -> None:
    async def act(link: Link, peer: socket.socket) -> None:
        link.post(NodeUnfit("x" * 4_000_000))
        draining = asyncio.ensure_future(link.drained())
        await asyncio.sleep(0)
        assert not draining.done()
        while not draining.done():
            await asyncio.get_running_loop().sock_recv(peer, 65536)
        await draining

    _run(act)
