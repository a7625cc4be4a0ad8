"""A cluster on this machine: a launcher, nodes in processes, and a relay between them."""

import contextlib
import hashlib
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.core.ports.launcher import Proof
from orchestrator.core.ports.read_models import NodeState
from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.node.join_file import JoinFile
from orchestrator.launchers.containment.containment_settings import ContainmentSettings
from orchestrator.system import process_table
from tests.contract.launcher_adapters import LauncherSite
from tests.integration.launchers.conftest import HANG_SECONDS, wait_until
from tests.support.cluster import QUICK, NodeProcess, TestCluster
from tests.support.ports import free_port


class Relay:
    """Forwards bytes between nodes and the server, in the directions that a test allows."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        #: Directions that are forwarded: "up" to the server, "down" to the node.
        self.passes = {"up", "down"}
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ, None)
        self._peers: dict[socket.socket, tuple[socket.socket, str]] = {}
        self._ends = self._breaks = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ends = True
        self._thread.join()
        for each in [*self._peers, self._listening]:
            each.close()
        self._selector.close()

    def break_all(self) -> None:
        """End all current connections. New connections are accepted."""
        self._breaks = True
        while self._breaks:
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._ends:
            if self._breaks:
                for each in list(self._peers):
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)
                self._breaks = False
            for key, _ in self._selector.select(0.02):
                found = key.fileobj
                assert isinstance(found, socket.socket)
                if found is self._listening:
                    self._accept()
                elif found in self._peers:
                    self._pass(found)

    def _accept(self) -> None:
        node, _ = self._listening.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            # Ended with a reset, as if the server's machine had refused the connection.
            node.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            node.close()
            return
        self._peers[node] = server, "up"
        self._peers[server] = node, "down"
        for each in (node, server):
            self._selector.register(each, selectors.EVENT_READ, None)

    def _pass(self, found: socket.socket) -> None:
        peer, direction = self._peers[found]
        try:
            data = found.recv(65536)
            # Bytes in other directions are dropped, as on a broken link.
            if data and direction in self.passes:
                peer.sendall(data)
        except OSError:
            data = b""
        if not data:
            for each in (found, peer):
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(each)
                self._peers.pop(each, None)
                each.close()


def relay_for(join_file: Path, target: int) -> Relay:
    """Return a new relay to the port ``target``. The join file then names the relay's port."""
    relay, found = Relay(target), JoinFile.read(join_file)
    changed = {each: getattr(found, each) for each in JoinFile.__dataclass_fields__}
    JoinFile(**{**changed, "address": f"127.0.0.1:{relay.port}"}).write(join_file)
    return relay


class ClusterSite(LauncherSite):
    """A launcher with nodes, whose attempts run on node ``n1`` by default."""

    def __init__(
        self,
        directory: Path,
        terms: NodeLeaseTerms = QUICK,
        host: str = "127.0.0.1",
        containment: ContainmentSettings | None = None,
    ) -> None:
        """``host``: address at which the server listens. ``containment``: for all machines."""
        self.cluster = TestCluster(directory, terms, host, containment)
        self.nodes: dict[str, NodeProcess] = {}
        self.relays: dict[str, Relay] = {}
        super().__init__(directory, self.cluster.launcher, "n1")

    def join(self, name: str = "n1", *, relayed: bool = False) -> NodeProcess:
        """Add a node, start it, and wait until workers may start on it."""
        join_file = self.cluster.add(name)
        if relayed:
            self.relays[name] = relay_for(join_file, self.cluster.port)
        return self.start_node(name)

    def start_node(self, name: str = "n1") -> NodeProcess:
        """Start the processes of an added node, and wait until workers may start on it."""
        join_file = self.directory / f"{name}.join"
        self.nodes[name] = NodeProcess(join_file, self.directory / name)
        wait_until(lambda: self.state(name).state == "up" and self.state(name).agents)
        return self.nodes[name]

    def connect(self) -> socket.socket:
        """Connect to the server without TLS.

        The server refuses connections until its thread has called ``listen``, so repeat them.
        """
        address, deadline = ("127.0.0.1", self.cluster.port), time.monotonic() + HANG_SECONDS
        while True:
            try:
                return socket.create_connection(address, timeout=10)
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def state(self, name: str = "n1") -> NodeState:
        assert isinstance(self.launcher, ClusterLauncher)
        launcher = self.launcher
        wait_until(lambda: any(each.name == name for each in launcher.nodes()))
        return next(each for each in launcher.nodes() if each.name == name)

    def end(self) -> None:
        for each in self.nodes.values():
            each.end()
        self.close()
        for relay in self.relays.values():
            relay.close()

    def alive(self, name: str) -> list[int]:
        """Return the pids of the running processes of an attempt."""
        return [each.pid for each in process_table.marked(self.id(name))]


def new_proof() -> Proof:
    secret = secrets.token_hex(16)
    return Proof(hashlib.sha256(secret.encode()).hexdigest(), secret)


#: Prints a line ten times a second.
TICKING = "echo ready; while :; do sleep 0.1; echo tick; done"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ClusterSite]:
    site = ClusterSite(tmp_path)
    site.listen()
    yield site
    site.end()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[ClusterSite]:
    """A cluster whose lease is longer than any break of a connection in a test."""
    site = ClusterSite(tmp_path, NodeLeaseTerms(beat=0.2, notice=1.0, lease=60.0))
    site.listen()
    yield site
    site.end()


@pytest.fixture
def started(site: ClusterSite) -> Callable[..., None]:
    """Start an attempt that ends only by a stop."""

    def start(name: str = "a", **changes: object) -> None:
        site.start(name, TICKING, proof=new_proof(), **changes)
        wait_until(lambda: site.log(name).startswith("ready\n"))

    return start
