"""Malformed messages of a hostile node or server, with real processes and real TLS.

Such a message ends only its connection. No process ends, and no unexpected error occurs.
"""

import json
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator import __version__
from orchestrator.launchers.cluster.connection.code_fingerprint import code_fingerprint
from orchestrator.launchers.cluster.connection.link import SERVER_NAME, tls
from orchestrator.launchers.cluster.connection.messages import (
    Heartbeat,
    Hello,
    Message,
    RequestedContainment,
    Welcome,
    encode,
)
from orchestrator.launchers.cluster.node.join_file import JoinFile
from orchestrator.launchers.containment.containment_settings import Mode, Sandbox, WorkerLimits
from tests.integration.launchers.conftest import HANG_SECONDS, wait_until
from tests.support.cluster import QUICK, NodeProcess

from .conftest import ClusterSite

Started = Callable[..., None]

NESTED = json.loads("[" * 500 + "]" * 500)
PIECE = {"is": "piece", "attempt": "j/w/1", "file": "log", "at": 0, "data": ""}
ENDED = {"is": "ended", "attempt": "j/w/1", "record": "", "files": None}
#: Messages of a node, after its hello.
FROM_NODE: tuple[dict[str, Any], ...] = (
    {},
    {"is": 5},
    {"is": NESTED},
    {"is": "beat"},
    {"is": "beat", "n": "1", "memory": None, "disk": None},
    {"is": "beat", "n": 1, "memory": float("inf"), "disk": None},
    {"is": "agents", "agents": {"name": "shell"}},
    {"is": "agents", "agents": [{"name": [], "reason": "", "fix": [], "login": ""}]},
    {"is": "agents", "agents": [{"name": "shell", "reason": 5, "fix": NESTED, "login": ""}]},
    {"is": "unfit", "why": None},
    {"is": "started", "attempt": [], "pid": 1},
    {"is": "started", "attempt": "j/w/1", "pid": float("inf")},
    {**PIECE, "data": "?"},
    {**PIECE, "at": -1},
    {**PIECE, "file": {}},
    {**ENDED, "exit": []},
    {**ENDED, "exit": {"ended_by": NESTED}},
    {**ENDED, "exit": {"ended_by": "exit"}, "record": "\u00e9"},
    {**ENDED, "exit": {"ended_by": "exit"}, "files": [1]},
    {"is": "had", "bytes": 10**400},
    {"is": "snapshot", "attempt": "j/w/1", "n": {}, "at": 0, "data": ""},
    {"is": "brought", "attempt": "j/w/1", "n": 1, "error": 5},
    {"is": "addresses", "addresses": "head:1"},
    {"is": "tcp", "connection": [], "data": ""},
    {"is": "tcp", "connection": 1, "data": 1},
    {"is": "no_result"},
)
#: Messages of a server, after its welcome.
FROM_SERVER: tuple[dict[str, Any], ...] = (
    {},
    {"do": 5},
    {"do": NESTED},
    {"do": "ok", "n": "1", "idle": False},
    {"do": "ok", "n": 1},
    {"do": "start"},
    {"do": "start", "launch": NESTED, "bases": {}, "files": None},
    {"do": "start", "launch": {"attempt_id": 5}, "bases": {}, "files": None},
    {"do": "files", "attempt": "j/w/1", "at": 0, "data": "?"},
    {"do": "stop", "attempt": "j/w/1", "ended_by": "magic", "stopped_by": "", "cause": ""},
    {"do": "stop", "attempt": [], "ended_by": "cancel", "stopped_by": "", "cause": ""},
    {"do": "waiting", "attempt": "j/w/1", "on": 1},
    {"do": "got", "bytes": None},
    {"do": "kept", "attempt": None},
    {"do": "again", "attempt": {}},
    {"do": "addresses", "addresses": [5]},
    {"do": "snapshot", "attempt": "j/w/1", "n": -1},
    {"do": "had", "bytes": 0.5},
    {"do": "file", "attempt": "j/w/1", "path": [], "data": ""},
    {"do": "result", "attempt": "j/w/1", "at": "0", "data": ""},
    {"do": "bring", "attempt": "j/w/1", "n": 1, "change": [], "sent": {}},
    {"is": "tcp", "connection": "1", "data": None},
)
#: First messages of a server.
INSTEAD_OF_WELCOME: tuple[dict[str, Any], ...] = (
    {},
    {"do": "welcome"},
    {"do": "refused"},
    {"do": "refused", "why": NESTED},
    {"do": "ok", "n": 1, "idle": True},
    {"do": "later"},
)


class Peer:
    """One end of a connection, which sends and receives any JSON."""

    def __init__(self, link: ssl.SSLSocket) -> None:
        self._link = link
        link.settimeout(HANG_SECONDS)

    def send(self, message: dict[str, Any] | Message) -> None:
        fields = message if isinstance(message, dict) else encode(message)
        body = json.dumps(fields).encode()
        self._link.sendall(struct.pack(">I", len(body)) + body)

    def receive(self) -> dict[str, Any]:
        """Return the next message. Raise ConnectionError if there is no message."""
        (length,) = struct.unpack(">I", self._exactly(4))
        found: dict[str, Any] = json.loads(self._exactly(length))
        return found

    def receive_kind(self, kind: str) -> dict[str, Any]:
        while (found := self.receive()).get("do", found.get("is")) != kind:
            pass
        return found

    def wait_for_end(self) -> None:
        """Return when the other machine has closed the connection."""
        try:
            while True:
                self.receive()
        except ConnectionError:
            return

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            found = self._link.recv(size - len(data))
            if not found:
                raise ConnectionError
            data += found
        return data


def hello() -> Hello:
    return Hello(
        name="n2",
        instance="hostile",
        version=__version__,
        code=code_fingerprint(),
        python=sys.version_info[:2],
        uid=os.getuid(),
        own_files=False,
        known=(),
        slots=1,
        time=time.time(),
        attempts={},
    )


@pytest.fixture
def hostile(site: ClusterSite, tmp_path: Path) -> Callable[[], Any]:
    """Connect a hostile node n2 to the server. Its hello is not yet sent."""
    settings = JoinFile.read(site.cluster.add("n2")).unpack(tmp_path / "n2", 1)
    context = tls(settings.directory, "node", is_server=False)

    @contextmanager
    def connect() -> Iterator[Peer]:
        with (
            site.connect() as bare,
            context.wrap_socket(bare, server_hostname=SERVER_NAME) as link,
        ):
            yield Peer(link)

    return connect


def test_a_malformed_message_of_a_node_ends_its_connection_only(
    site: ClusterSite,
    started: Started,
    hostile: Callable[[], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    site.join()
    started("a")
    for body in FROM_NODE:
        with hostile() as node:
            node.send(hello())
            assert node.receive()["do"] == "welcome", body
            node.send(Heartbeat(1, None, None))
            node.receive_kind("ok")
            caplog.clear()

            node.send(body)
            node.wait_for_end()

        wait_until(lambda: "node n2 sent an invalid message" in caplog.text)
        wait_until(lambda: site.state("n2").state == "unreachable")
        assert [each for each in caplog.records if each.exc_info or each.name == "asyncio"] == []
    assert site.state().state == "up"
    assert site.alive("a")


def test_an_unknown_kind_of_message_of_a_node_is_ignored(
    site: ClusterSite, hostile: Callable[[], Any]
) -> None:
    with hostile() as node:
        node.send(hello())
        node.receive()
        node.send({"is": "later", "n": []})
        node.send({**encode(Heartbeat(7, None, None)), "later": NESTED})

        assert node.receive_kind("ok")["n"] == 7


def test_a_malformed_hello_is_no_unexpected_error(
    site: ClusterSite, hostile: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    fields = encode(hello())
    bodies = [
        {"is": "beat", **encode(Heartbeat(1, None, None))},
        *({**fields, name: value} for name in fields for value in (None, NESTED, {"a": []}, 1.5)),
        *({other: fields[other] for other in fields if other != name} for name in fields),
    ]
    for body in bodies:
        with hostile() as node:
            node.send(body)
            node.wait_for_end()

    assert [each for each in caplog.records if each.exc_info or each.name == "asyncio"] == []
    assert site.state("n2").state in ("unknown", "rejected")


def test_no_malformed_message_of_a_server_ends_the_process_of_a_node(
    site: ClusterSite, tmp_path: Path
) -> None:
    context = tls(site.cluster.certificates, "server", is_server=True)
    join_file = site.cluster.add("n1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(HANG_SECONDS)
        found = JoinFile.read(join_file)
        fields = {each: getattr(found, each) for each in JoinFile.__dataclass_fields__}
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        JoinFile(**{**fields, "address": address}).write(join_file)
        node = site.nodes["n1"] = NodeProcess(join_file, tmp_path / "n1", own_files=True)
        daemons = set()

        @contextmanager
        def accepted() -> Iterator[Peer]:
            bare, _ = listening.accept()
            with bare, context.wrap_socket(bare, server_side=True) as link:
                peer = Peer(link)
                assert peer.receive()["is"] == "hello"
                daemons.add(node.daemon)
                yield peer

        for body in INSTEAD_OF_WELCOME:
            with accepted() as server:
                server.send(body)
                server.wait_for_end()
        for body in FROM_SERVER:
            with accepted() as server:
                server.send(welcome())
                server.receive_kind("beat")
                server.send(body)
                server.wait_for_end()
        with accepted() as server:
            server.send(welcome())
            server.send({"do": "later", "n": []})
            server.receive_kind("agents")

    assert node.process.poll() is None
    assert len(daemons) == 1
    assert "Traceback" not in node.output
    assert "sent an invalid message: Welcome: terms must be present" in node.output
    assert "the server sent an invalid message: HeartbeatAnswer: n must be" in node.output


def welcome() -> Welcome:
    return Welcome(
        terms=QUICK,
        files={},
        late={},
        addresses=(),
        containment=RequestedContainment(
            mode=Mode.BASIC, strict=False, limits=WorkerLimits(), sandbox=Sandbox()
        ),
        agents=({"name": "shell"},),
        environment={},
        workspace="/nowhere",
        shared=(),
        mark_name="",
        mark="",
        places={},
    )
