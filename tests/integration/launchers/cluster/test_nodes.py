"""Faults of nodes and of their connections, with real processes and real TLS."""

import os
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.launcher import Proof
from orchestrator.launchers.cluster import node_links
from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher
from orchestrator.launchers.cluster.connection.link import SERVER_NAME, tls
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry
from orchestrator.launchers.cluster.node.join_file import JoinFile
from orchestrator.launchers.cluster.node.node_process import api_socket
from orchestrator.launchers.exit_record.exit_record import read_exit
from orchestrator.system import process_table
from tests.integration.launchers.conftest import HANG_SECONDS, wait_until
from tests.support.cluster import NodeProcess
from tests.support.examples import nightly

from .conftest import ClusterSite, new_proof

Started = Callable[..., None]


def test_a_killed_daemon_is_started_again_and_costs_no_work(
    site: ClusterSite, started: Started
) -> None:
    node = site.join()
    site.start("a", "for i in $(seq 1 40); do echo $i; sleep 0.05; done")
    wait_until(lambda: "5\n" in site.log("a"))
    killed = node.daemon
    os.kill(killed, signal.SIGKILL)
    ended = site.reports.exit("a")
    assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 0)
    assert site.log("a") == "".join(f"{n}\n" for n in range(1, 41))
    wait_until(lambda: node.daemon not in (0, killed))


def test_workers_of_a_dead_node_end_with_their_lease(site: ClusterSite, started: Started) -> None:
    node = site.join()
    started("a", grace=3600.0)
    node.kill()
    ended = site.reports.exit("a")
    assert (ended.ended_by, ended.cause) == (EndedBy.LOST, ExitCause.NODE_LOST)
    assert ended.error == "outcome unknown: node n1 was lost"
    assert site.alive("a") == [], "a worker must end before it may start elsewhere"
    found = read_exit(site.exit_path("a"))
    assert found is not None
    assert found.cause is ExitCause.NODE_LOST


def test_a_node_that_stands_still_is_fenced_by_its_shims(
    site: ClusterSite, started: Started
) -> None:
    node = site.join()
    started("a")
    daemon = node.daemon
    for pid in (node.process.pid, daemon):
        os.kill(pid, signal.SIGSTOP)
    try:
        ended = site.reports.exit("a")
        assert ended.cause is ExitCause.NODE_LOST
        assert site.alive("a") == []
        assert site.state().state == "unreachable"
    finally:
        for pid in (daemon, node.process.pid):
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: site.state().state == "up")
    assert site.run("b", "exit 3").code == 3


def test_a_short_break_of_the_connection_costs_nothing(patient: ClusterSite) -> None:
    site = patient
    site.join(relayed=True)
    site.start("a", "for i in $(seq 1 60); do echo $i; sleep 0.05; done")
    wait_until(lambda: "5\n" in site.log("a"))
    relay = site.relays["n1"]
    relay.passes.clear()
    wait_until(lambda: site.state().state == "unreachable")
    relay.passes.update({"up", "down"})
    ended = site.reports.exit("a")
    assert ended.code == 0
    assert site.log("a") == "".join(f"{n}\n" for n in range(1, 61))


@pytest.mark.parametrize(
    "cut", [*nightly({"up"}, {"down"}), {"up", "down"}], ids=["up", "down", "both"]
)
def test_a_cut_connection_ends_the_workers_before_they_count_as_lost(
    site: ClusterSite, started: Started, cut: set[str]
) -> None:
    site.join(relayed=True)
    started("a")
    relay = site.relays["n1"]
    relay.passes.difference_update(cut)
    ended = site.reports.exit("a")
    assert ended.cause is ExitCause.NODE_LOST
    assert site.alive("a") == []
    size = len(site.log("a"))
    relay.passes.update(cut)
    wait_until(lambda: site.state().state == "up")
    assert site.run("b", "echo on").code == 0
    assert len(site.log("a")) == size, "no result of a lost attempt is written"


def test_nodes_can_be_listed_before_the_first_one_is_accepted(
    site: ClusterSite, started: Started
) -> None:
    site.join()
    started("a")
    wait_until(lambda: site.cluster.registry.entries()["n1"].agents)
    site.close(stop=False)
    site.open()
    launcher = site.launcher
    assert isinstance(launcher, ClusterLauncher)
    # A job that needs an agent of a node may be submitted at this time.
    assert [each.name for each in launcher.machines] == ["", "n1"]
    assert launcher.machines[1].agents == {"shell"}
    assert site.adopt("a", Proof())
    # The loop is busy, so that the listening thread still waits for it.
    launcher._loop.call_soon_threadsafe(time.sleep, 0.5)
    site.listen()
    wait_until(lambda: launcher.nodes())
    assert launcher.nodes()[0].name == "n1"
    wait_until(lambda: site.state().state == "up")


def test_a_node_tries_again_after_bytes_that_are_no_message(site: ClusterSite) -> None:
    context = tls(site.cluster.certificates, "server", is_server=True)
    join_file = site.cluster.add("n1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(HANG_SECONDS)
        found = JoinFile.read(join_file)
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        fields = {each: getattr(found, each) for each in JoinFile.__dataclass_fields__}
        JoinFile(**{**fields, "address": address}).write(join_file)
        site.nodes["n1"] = NodeProcess(join_file, site.directory / "n1")
        for _ in range(2):
            accepted, _ = listening.accept()
            with accepted:
                link = context.wrap_socket(accepted, server_side=True)
                assert link.recv(65536), "hello"
                with socket.socket(fileno=link.detach()) as bare:
                    bare.sendall(b"no TLS record")
    assert site.nodes["n1"].process.poll() is None


def _is_accepting(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def test_agents_reported_before_the_first_check_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_links, "_TICK_SECONDS", 4.0)
    site = ClusterSite(tmp_path)
    try:
        site.listen()
        # Then the server has read the list of nodes.
        wait_until(lambda: _is_accepting(site.cluster.port))
        site.join()
        wait_until(lambda: site.cluster.registry.entries()["n1"].agents)
    finally:
        site.end()


def test_the_absence_of_the_server_is_no_partition(site: ClusterSite, started: Started) -> None:
    site.join()
    started("a")
    site.close(stop=False)
    # Longer than the lease.
    time.sleep(site.cluster.terms.lease * 1.5)
    assert site.alive("a")
    site.open()
    assert site.adopt("a", Proof())
    site.listen()
    wait_until(lambda: site.state().state == "up")
    lines = site.log("a")
    wait_until(lambda: len(site.log("a")) > len(lines))
    site.launcher.stop(site.id("a"), "cancel", "user")
    assert site.reports.exit("a").stopped_by == "user"
    assert set(site.log("a").splitlines()) == {"ready", "tick"}


def test_a_node_that_is_stopped_returns_its_workers(site: ClusterSite, started: Started) -> None:
    node = site.join()
    started("a")
    node.process.terminate()
    ended = site.reports.exit("a")
    assert ended.cause is ExitCause.LEASE_ENDED
    assert node.process.wait(30) == 0
    assert site.alive("a") == []


def test_a_start_that_the_connection_lost_is_free(patient: ClusterSite) -> None:
    site = patient
    site.join(relayed=True)
    relay = site.relays["n1"]
    relay.passes.discard("down")
    site.start("a", "touch ran; sleep 60")
    wait_until(lambda: site.state().state == "unreachable")
    relay.passes.add("down")
    ended = site.reports.exit("a")
    assert (ended.ended_by, ended.cause) == (EndedBy.LOST, ExitCause.LEASE_ENDED)
    assert not (site.directory / "ran").exists()


def test_a_removed_node_is_cut_off_and_rejected(site: ClusterSite, started: Started) -> None:
    node = site.join()
    started("a")
    site.cluster.registry.remove("n1")
    assert site.reports.exit("a").ended_by is EndedBy.LOST
    wait_until(lambda: "node 'n1' was removed; to add it again: " in node.output)
    assert site.alive("a") == []
    wait_until(lambda: site.launcher.nodes() == [])  # type: ignore[attr-defined]


def test_a_drained_node_keeps_its_workers_and_gets_no_more(
    site: ClusterSite, started: Started
) -> None:
    site.join()
    started("a")
    site.cluster.registry.change("n1", is_drained=True)
    wait_until(lambda: site.state().state == "drained")
    assert not any(each.takes_workers for each in site.launcher.machines if each.name)  # type: ignore[attr-defined]
    assert site.state().running == 1
    site.cluster.registry.change("n1", is_drained=False)
    wait_until(lambda: site.state().state == "up")
    assert site.alive("a")


def test_a_forgotten_node_is_given_up_at_once(site: ClusterSite, started: Started) -> None:
    node = site.join()
    started("a")
    node.kill()
    wait_until(lambda: site.state().state == "unreachable")
    site.cluster.registry.forget("n1")
    assert site.reports.exit("a").cause is ExitCause.NODE_LOST


def test_another_machine_with_the_same_name_is_rejected(
    site: ClusterSite, started: Started, tmp_path: Path
) -> None:
    site.join()
    started("a")
    other = NodeProcess(site.directory / "n1.join", tmp_path / "other")
    assert other.process.wait(30) == 1
    assert "already joined from another machine" in other.output
    assert site.state().state == "up"
    assert site.alive("a")


def test_a_node_whose_certificate_has_expired_names_the_command_to_renew_it(
    site: ClusterSite, tmp_path: Path
) -> None:
    join_file = site.cluster.add("n1", days=0.00001)
    time.sleep(1.0)
    node = NodeProcess(join_file, tmp_path / "n1")
    try:
        wait_until(lambda: "orchestrator nodes add n1" in node.output)
        assert site.state().state == "unknown"
    finally:
        node.kill()


def test_a_node_of_another_authority_is_rejected(site: ClusterSite, tmp_path: Path) -> None:
    site.cluster.add("n1")
    stranger = ClusterSite(tmp_path / "elsewhere")
    try:
        found = JoinFile.read(stranger.cluster.add("n1"))
        fields = {each: getattr(found, each) for each in JoinFile.__dataclass_fields__}
        own = JoinFile.read(site.directory / "n1.join")
        # The client trusts the server, but has no certificate that the server trusts.
        fields.update(authority=own.authority, address=own.address)
        JoinFile(**fields).write(tmp_path / "stranger.join")
        node = NodeProcess(tmp_path / "stranger.join", tmp_path / "stranger")
        try:
            wait_until(lambda: "orchestrator nodes add n1" in node.output)
        finally:
            node.kill()
        assert site.state().state == "unknown"
    finally:
        stranger.end()


def test_a_connection_without_tls_or_certificate_gets_nothing(site: ClusterSite) -> None:
    site.cluster.add("n1")
    wait_until(lambda: site.state().state == "unknown")
    with site.connect() as plain:
        plain.sendall(b"\0\0\0\2{}")
        assert _rest(plain) == b""
    context = ssl.create_default_context(cafile=str(site.cluster.certificates / "ca.pem"))
    with site.connect() as bare:
        found = context.wrap_socket(bare, server_hostname=SERVER_NAME)
        with pytest.raises(ssl.SSLError), found:
            found.sendall(b"\0\0\0\2{}")
            assert found.recv(1) == b""
            raise ssl.SSLError("closed without an answer")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1]",
        b"{}",
        b"[" * 200_000,
        b'{"version": "0", "python": []}',
        b'{"version": "0", "python": 3}',
    ],
    ids=["no JSON", "no object", "no fields", "nested", "no Python", "a number"],
)
def test_wrong_bytes_of_a_node_end_its_connection_only(
    site: ClusterSite,
    started: Started,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    body: bytes,
) -> None:
    site.join()
    started()
    context = tls(tmp_path / "n1", "node", is_server=False)
    with (
        site.connect() as bare,
        context.wrap_socket(bare, server_hostname=SERVER_NAME) as found,
    ):
        found.sendall(len(body).to_bytes(4, "big") + body)
        assert _rest(found) == b""
    assert site.state().state == "up"
    assert site.alive("a")
    assert [each.getMessage() for each in caplog.records if each.name == "asyncio"] == []


def test_a_node_cannot_pass_for_the_server(site: ClusterSite, tmp_path: Path) -> None:
    site.cluster.add("n1")
    settings = JoinFile.read(site.directory / "n1.join").unpack(tmp_path / "n1", 1)
    client = tls(settings.directory, "node", is_server=False)
    client.check_hostname = True
    node = tls(settings.directory, "node", is_server=True)
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    as_client = client.wrap_bio(theirs, ours, server_hostname=SERVER_NAME)
    as_server = node.wrap_bio(ours, theirs, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        for _ in range(10):
            for end in (as_client, as_server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("version", "0.0.1", "has version 0.0.1"),
        ("python", (2, 7), "with Python 2.7"),
        ("code", "of a former commit", "runs other code than the server"),
        ("uid", -1, "as user id -1"),
    ],
)
def test_a_node_that_differs_is_refused_with_what_to_do(
    site: ClusterSite, tmp_path: Path, field: str, value: object, expected: str
) -> None:
    join_file = site.cluster.add("n1")
    program = (
        "import dataclasses; from orchestrator.launchers.cluster.node import node_daemon; "
        "hello = node_daemon.NodeDaemon._hello; "
        "node_daemon.NodeDaemon._hello = lambda self: "
        f"dataclasses.replace(hello(self), {field}={value!r}); "
    )
    node = NodeProcess(join_file, tmp_path / "n1", before=program)
    assert node.process.wait(30) == 1
    assert expected in node.output
    assert site.state().state == "rejected"
    assert expected in site.state().notice


def test_a_rejected_node_with_attempts_retries_ever_less_often(
    site: ClusterSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    join_file = site.cluster.add("n1")
    (tmp_path / "n1" / "attempts" / "old").mkdir(parents=True)
    program = (
        "import dataclasses, time; from orchestrator.launchers.cluster.node import node_daemon; "
        "node_daemon._REJECTED_SECONDS = 0.1; hello = node_daemon.NodeDaemon._hello; "
        "node_daemon.NodeDaemon._hello = lambda self: print('at', time.monotonic(), flush=True) or "
        "dataclasses.replace(hello(self), code='of a former commit'); "
    )

    def times() -> list[float]:
        # The last line may be incomplete.
        lines = node.output.rpartition("\n")[0].splitlines()
        return [float(line.split()[1]) for line in lines if line.startswith("at ")]

    with caplog.at_level("WARNING"):
        node = NodeProcess(join_file, tmp_path / "n1", before=program)
        try:
            wait_until(lambda: len(times()) >= 5)
            first, second, *_, last_but_one, last = times()
        finally:
            node.kill()
    assert last - last_but_one > 2 * (second - first)
    assert len([each for each in caplog.messages if "node rejected" in each]) == 1


def test_a_machine_without_the_workspace_is_refused(site: ClusterSite, tmp_path: Path) -> None:
    join_file = site.cluster.add("n1")
    (site.directory / ".cluster").write_text("of another workspace")
    node = NodeProcess(join_file, tmp_path / "n1")
    assert node.process.wait(30) == 1
    assert "of this machine is not the server's workspace" in node.output
    wait_until(lambda: "is not the server's workspace" in site.state().notice)


@pytest.mark.parametrize("is_mount_point", [False, True])
def test_a_machine_without_the_project_is_refused(
    site: ClusterSite, tmp_path: Path, is_mount_point: bool
) -> None:
    join_file = site.cluster.add("n1")
    shutil.rmtree(site.cluster.project)
    if is_mount_point:
        site.cluster.project.mkdir()
    node = NodeProcess(join_file, tmp_path / "n1")
    assert node.process.wait(30) == 1
    assert f"missing or empty on this machine: {site.cluster.project}" in node.output
    wait_until(lambda: "missing or empty on this machine" in site.state().notice)


def test_a_jump_of_the_wall_clock_changes_no_lease(site: ClusterSite, tmp_path: Path) -> None:
    program = (
        "import time; real = time.time; born = real(); "
        "time.time = lambda: real() - (3600 if real() > born + 3 else 0); "
    )
    site.cluster.add("n1")
    node = site.nodes["n1"] = NodeProcess(
        site.directory / "n1.join", site.directory / "n1", before=program
    )
    wait_until(lambda: site.state().state == "up" and site.state().agents)
    site.start("a", "sleep 6; exit 3")
    assert site.reports.exit("a").code == 3
    assert node.process.poll() is None


def test_nothing_of_a_key_is_left_on_the_node(site: ClusterSite) -> None:
    site.join()
    secret = "hunter2hunter2hunter2"
    env = {"PATH": os.environ["PATH"], "KEY": secret}
    proof = Proof("0" * 64, "the-secret-of-the-record")
    site.start("a", "echo $KEY; sleep 60", env=env, secrets=(secret,), proof=proof)
    wait_until(lambda: "***" in site.log("a"))
    files = [each for each in (site.directory / "n1").rglob("*") if each.is_file()]
    assert any(each.name == "launch.json" for each in files)
    for each in files:
        content = each.read_bytes()
        assert secret.encode() not in content, each
        assert proof.secret.encode() not in content, each
    site.launcher.stop(site.id("a"), "cancel", "user")
    site.reports.exit("a")
    wait_until(lambda: not list((site.directory / "n1" / "attempts").iterdir()))


def test_no_process_of_a_node_remains_after_its_end(site: ClusterSite, started: Started) -> None:
    node = site.join()
    started("a")
    parent, daemon = node.process.pid, node.daemon
    node.end()
    wait_until(lambda: not any(process_table.start_ticks(each) for each in (parent, daemon)))
    assert site.reports.exit("a").ended_by in (EndedBy.LOST, EndedBy.CANCEL)
    assert site.alive("a") == []


def test_a_beat_of_a_node_costs_no_work_for_other_nodes(site: ClusterSite, tmp_path: Path) -> None:
    site.cluster.add("n2")
    site.join()
    launcher = site.launcher

    def machine(name: str) -> object:
        return next(each for each in launcher.machines if each.name == name)  # type: ignore[attr-defined]

    wait_until(lambda: any(each.name == "n2" for each in launcher.machines))  # type: ignore[attr-defined]
    first, other = machine("n1"), machine("n2")
    # Beats report the memory, which changes constantly.
    wait_until(lambda: machine("n1") != first)
    assert machine("n2") is other
    assert 0 < (site.state("n1").disk_bytes or 0) <= shutil.disk_usage(tmp_path).total
    assert site.state("n2").disk_bytes is None


def test_no_message_waits_for_the_acknowledgement_of_another(
    site: ClusterSite, tmp_path: Path
) -> None:
    # Without TCP_NODELAY, a second small message waits about 40 ms (Nagle, delayed ACK). asyncio
    # sets it only if the listening socket names its protocol.
    site.join()
    links = site.launcher._links  # type: ignore[attr-defined]
    accepted = links.nodes["n1"].link._transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with api_socket(tmp_path) as api:
        assert api.proto == socket.IPPROTO_TCP


def test_a_renewed_certificate_replaces_the_former_one(site: ClusterSite) -> None:
    node = site.join()
    serial = site.cluster.registry.entries()["n1"].serial
    site.cluster.registry.put(NodeEntry(name="n1", serial=f"{serial}1"))
    os.kill(node.daemon, signal.SIGKILL)
    wait_until(lambda: "node 'n1' has a newer join file; join with that file" in node.output)


#: Lease terms with 8 s between two beats of a node without workers.
RARE = NodeLeaseTerms(beat=1.0, notice=1.5, lease=60.0)


@pytest.fixture
def rare(tmp_path: Path) -> Iterator[ClusterSite]:
    """A cluster whose node n1 has no workers, and sends few beats."""
    site = ClusterSite(tmp_path, RARE)
    site.listen()
    site.join()
    # With frequent beats, this would never be true.
    wait_until(lambda: (site.state().seen_seconds or 0.0) > RARE.beat + RARE.notice)
    yield site
    site.end()


def test_a_node_without_workers_sends_few_beats_until_it_gets_one(rare: ClusterSite) -> None:
    assert rare.state().state == "up"

    # Longer than the allowed silence of a node with a worker.
    assert rare.run("a", f"sleep {RARE.notice * 2}; exit 3").code == 3

    assert rare.nodes["n1"].output.count("connected to") == 1


def test_a_start_shows_that_a_node_without_workers_is_suspended(rare: ClusterSite) -> None:
    node = rare.nodes["n1"]
    pids = node.process.pid, node.daemon
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        rare.start("a", "exit 3", proof=new_proof())
        wait_until(lambda: rare.state().state == "unreachable")
        assert time.monotonic() - began < RARE.idle_beat / 2
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
    ended = rare.reports.exit("a")
    assert (ended.code, ended.cause) in ((3, ExitCause.NONE), (None, ExitCause.LEASE_ENDED))


def _rest(plain: socket.socket) -> bytes:
    try:
        return plain.recv(1)
    except ConnectionError:
        return b""
