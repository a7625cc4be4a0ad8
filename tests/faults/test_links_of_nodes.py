"""Links of nodes that stall, lose packets, or are cut in one direction; machines that fail.

Each node is in its own network namespace. Its packets pass through the test
(``tests.support.wire``).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.cluster.connection.link import SERVER_NAME
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.node.join_file import JoinFile
from tests.integration.launchers.cluster.conftest import TICKING, ClusterSite, new_proof
from tests.integration.launchers.conftest import wait_until
from tests.support.cluster import QUICK, NodeProcess
from tests.support.wire import TO_NODE, TO_SERVER, WiredNamespace, wires

#: Command that prints forty lines in two seconds.
COUNTING = "for i in $(seq 1 40); do echo $i; sleep 0.05; done"
LINES = "".join(f"{n}\n" for n in range(1, 41))


class FarSite(ClusterSite):
    """A launcher whose node n1 is at the end of a wire."""

    def __init__(self, directory: Path, wire: WiredNamespace, terms: NodeLeaseTerms) -> None:
        self.wire = wire
        super().__init__(directory, terms, host="0.0.0.0")

    def join(self, name: str = "n1", *, relayed: bool = False) -> NodeProcess:
        self.cluster.add(name, host=self.wire.server)
        return self.start_node(name)

    def start_node(self, name: str = "n1") -> NodeProcess:
        self.nodes[name] = self.begin_node(self.directory / f"{name}.join", name)
        wait_until(lambda: self.state(name).state == "up" and self.state(name).agents)
        return self.nodes[name]

    def begin_node(self, join_file: Path, state: str) -> NodeProcess:
        return NodeProcess(join_file, self.directory / state, prefix=self.wire.prefix)

    def tick(self) -> None:
        """Start an attempt that ends only by a stop."""
        self.start("a", TICKING, proof=new_proof(), grace=1.0)
        wait_until(lambda: self.log("a").startswith("ready\n"))


@pytest.fixture
def wire() -> Iterator[WiredNamespace]:
    with wires(1) as [found]:
        yield found


@pytest.fixture
def far(wire: WiredNamespace, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FarSite]:
    site = FarSite(tmp_path, wire, getattr(request, "param", QUICK))
    site.listen()
    yield site
    site.end()


PATIENT = NodeLeaseTerms(beat=0.2, notice=20.0, lease=60.0)
#: Lease terms with which the connection is not closed before the lease has ended.
SLOW_TO_NOTICE = NodeLeaseTerms(beat=0.2, notice=20.0, lease=3.0, slack=2.0)


def test_answers_that_are_late_but_within_the_lease_cost_nothing(far: FarSite) -> None:
    far.join()
    far.wire.delay = 0.4

    far.start("a", COUNTING)

    assert far.reports.exit("a").code == 0
    assert far.log("a") == LINES
    assert far.state().state == "up"


@pytest.mark.parametrize("far", [SLOW_TO_NOTICE], indirect=True)
def test_answers_that_are_later_than_the_lease_extend_none(far: FarSite) -> None:
    far.join()
    far.tick()
    # The answer to a beat arrives after four seconds, and extends the lease to three seconds after
    # the beat was sent, which is in the past.
    far.wire.delay = 2.0

    ended = far.reports.exit("a")

    assert ended.cause is ExitCause.LEASE_ENDED
    assert far.alive("a") == []
    far.wire.reconnect()
    wait_until(lambda: far.state().state == "up")
    assert far.run("b", "exit 3").code == 3


def test_a_link_that_stalls_for_longer_than_the_lease_fences_the_node(far: FarSite) -> None:
    far.join()
    far.tick()
    far.wire.delay = 20.0

    ended = far.reports.exit("a")

    assert ended.cause is ExitCause.NODE_LOST
    assert far.alive("a") == []
    size = len(far.log("a"))
    far.wire.reconnect()
    wait_until(lambda: far.state().state == "up")
    assert far.run("b", "exit 3").code == 3
    assert len(far.log("a")) == size, "no result of a lost attempt is written"


@pytest.mark.parametrize("far", [PATIENT], indirect=True)
def test_lost_packets_cost_no_line(far: FarSite) -> None:
    far.join()
    far.wire.loss = 0.15

    far.start("a", COUNTING)

    assert far.reports.exit("a").code == 0
    assert far.log("a") == LINES
    assert far.wire.packets[TO_NODE] and far.wire.packets[TO_SERVER]


@pytest.mark.parametrize("way", [TO_NODE, TO_SERVER])
def test_a_link_that_is_cut_one_way_fences_the_node_before_its_workers_count_as_lost(
    far: FarSite, way: str
) -> None:
    far.join()
    far.tick()
    far.wire.lost.add(way)

    ended = far.reports.exit("a")

    assert ended.cause is ExitCause.NODE_LOST
    assert far.alive("a") == []
    far.wire.reconnect()
    wait_until(lambda: far.state().state == "up")
    assert far.run("b", "exit 3").code == 3


def test_a_stop_that_meets_a_cut_link_arrives_after_it(far: FarSite) -> None:
    far.join()
    far.tick()
    far.wire.cut()
    far.launcher.stop(far.id("a"), EndedBy.CANCEL, "user")
    time.sleep(0.5)
    far.wire.reconnect()

    ended = far.reports.exit("a")

    assert (ended.ended_by, ended.stopped_by) == (EndedBy.CANCEL, "user")
    assert far.alive("a") == []


# Machines at the end of a link


_STRANGER = """
import socket, ssl, sys
host, port, authority, name = sys.argv[1:]
def answer(connection):
    try:
        connection.sendall(b"\\0\\0\\0\\2{}")
        return connection.recv(100)
    except OSError:
        return b""
with socket.create_connection((host, int(port)), 10) as plain:
    answers = answer(plain)
context = ssl.create_default_context(cafile=authority)
with socket.create_connection((host, int(port)), 10) as bare:
    with context.wrap_socket(bare, server_hostname=name) as secure:
        answers += answer(secure)
print("answers:", answers)
"""


def test_a_stranger_from_another_machine_gets_no_answer(far: FarSite) -> None:
    far.join()
    far.tick()
    arguments = (
        far.wire.server,
        str(far.cluster.port),
        str(far.cluster.certificates / "ca.pem"),
        SERVER_NAME,
    )
    argv = [*far.wire.prefix, sys.executable, "-c", _STRANGER, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "answers: b''\n"
    assert far.state().state == "up"
    assert far.alive("a")


def test_the_second_of_two_machines_of_one_name_is_rejected(tmp_path: Path) -> None:
    with wires(2) as [first, second]:
        site = FarSite(tmp_path, first, QUICK)
        try:
            site.listen()
            site.join()
            site.tick()
            # The same certificate, and the server's address on the second machine's link.
            found = JoinFile.read(tmp_path / "n1.join")
            fields = {each: getattr(found, each) for each in JoinFile.__dataclass_fields__}
            copied = tmp_path / "copied.join"
            address = f"{second.server}:{site.cluster.port}"
            JoinFile(**{**fields, "address": address}).write(copied)
            other = NodeProcess(copied, tmp_path / "other", prefix=second.prefix)
            assert other.process.wait(60) == 1
            assert "already joined from another machine" in other.output
            assert site.state().state == "up"
            assert site.alive("a")
        finally:
            site.end()


@pytest.mark.nightly
def test_a_certificate_that_expires_keeps_its_connection_and_gets_no_other(far: FarSite) -> None:
    join_file = far.cluster.add("n1", days=8 / 86_400, host=far.wire.server)
    expires = time.time() + 8
    far.nodes["n1"] = node = far.begin_node(join_file, "n1")
    wait_until(lambda: far.state().state == "up" and far.state().agents)
    far.tick()
    wait_until(lambda: time.time() > expires + 1)
    lines = len(far.log("a"))
    wait_until(lambda: len(far.log("a")) > lines)
    os.kill(node.daemon, signal.SIGKILL)
    ended = far.reports.exit("a")
    assert ended.cause is ExitCause.NODE_LOST
    assert far.alive("a") == []
    assert "orchestrator nodes add n1" in node.output
