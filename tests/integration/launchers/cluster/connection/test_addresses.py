"""A server with several addresses, only one of which answers at a time."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.core.ports.launcher import Proof
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.lost_nodes import longest_lease
from orchestrator.launchers.cluster.node.join_file import JoinFile
from tests.integration.launchers.cluster.conftest import ClusterSite
from tests.integration.launchers.conftest import wait_until
from tests.support.cluster import NodeProcess
from tests.support.ports import free_port

Started = Callable[..., None]


@pytest.fixture
def second(site: ClusterSite) -> str:
    """The second address of the cluster, at which no server listens yet."""
    return f"127.0.0.1:{free_port()}"


def _first(site: ClusterSite) -> str:
    return site.cluster.registry.address


def _open(site: ClusterSite, address: str) -> None:
    site.cluster.port = int(address.rpartition(":")[2])
    site.open()
    assert site.adopt("a", Proof())
    site.listen()


def _move(site: ClusterSite, address: str, leases: float = 0.0) -> None:
    """Replace the server by a server at another address, after this number of leases."""
    site.close(stop=False)
    time.sleep(site.cluster.terms.lease * leases)
    _open(site, address)
    wait_until(lambda: site.state().state == "up")


def _check_adopted(site: ClusterSite) -> None:
    lines = site.log("a")
    wait_until(lambda: len(site.log("a")) > len(lines))
    site.launcher.stop(site.id("a"), "cancel", "user")
    assert site.reports.exit("a").stopped_by == "user"
    assert set(site.log("a").splitlines()) == {"ready", "tick"}


def test_a_node_follows_the_server_to_its_other_address(
    site: ClusterSite, started: Started, second: str
) -> None:
    site.cluster.registry.init(_first(site), second)
    node = site.join()
    started("a")
    _move(site, second, leases=1.5)
    wait_until(lambda: f"connected to {second} as n1" in node.output)
    _check_adopted(site)


def test_a_connected_node_learns_a_changed_list(
    site: ClusterSite, started: Started, second: str
) -> None:
    node = site.join()
    started("a")
    site.cluster.registry.init(_first(site), second)
    stored = site.directory / "n1" / "addresses.json"
    wait_until(lambda: second in json.loads(stored.read_text())["used"])
    _move(site, second)
    wait_until(lambda: f"connected to {second} as n1" in node.output)
    _check_adopted(site)


def test_a_server_at_an_address_that_a_node_does_not_know_waits_for_the_node(
    site: ClusterSite, started: Started, second: str
) -> None:
    site.join()
    started("a")
    first, terms = _first(site), site.cluster.terms
    wait_until(lambda: site.cluster.registry.entries()["n1"].addresses == (first,))
    site.close(stop=False)
    # The node is not connected now, and extends its lease, because its only address refuses.
    site.cluster.registry.init(second)
    _open(site, second)
    time.sleep(terms.fenced_after + 1)
    assert site.alive("a")
    assert site.state().running == 1, "the worker must not start elsewhere"
    assert site.state().notice.endswith("nodes forget n1")
    site.cluster.registry.init(first, second)
    site.close(stop=False)
    _open(site, first)
    wait_until(lambda: site.state().state == "up")
    _check_adopted(site)
    wait_until(lambda: site.cluster.registry.entries()["n1"].addresses == (first, second))


@pytest.mark.parametrize(
    ("known", "current", "absence", "is_longer"),
    [
        (("a:1",), ("a:1",), 60.0, False),
        ((), ("a:1",), 60.0, False),
        ((), ("a:1", "b:1"), 60.0, True),
        (("a:1",), ("b:1",), 60.0, True),
        (("a:1",), ("a:1", "b:1"), 0.0, True),
    ],
)
def test_a_new_server_waits_longer_only_for_nodes_that_do_not_know_its_addresses(
    tmp_path: Path, known: tuple[str, ...], current: tuple[str, ...], absence: float,
    is_longer: bool,
) -> None:  # fmt: skip
    site = ClusterSite(tmp_path, NodeLeaseTerms(absence=absence))
    try:
        registry, terms = site.cluster.registry, site.cluster.terms
        site.cluster.add("n1")
        registry.init(*current)
        registry.change("n1", addresses=known)
        site.listen()
        links = site.launcher._links  # type: ignore[attr-defined]
        nodes = links.nodes
        wait_until(lambda: "n1" in nodes.entries and nodes.entries["n1"].addresses == known)
        expected = terms.fenced_after + (terms.lease + absence if absence else float("inf"))
        found = longest_lease(links._terms, nodes.entries["n1"], nodes.addresses)
        assert found == (expected if is_longer else terms.fenced_after)
    finally:
        site.end()


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections, but sends no data."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_is_absent_only_if_all_its_addresses_refuse(
    site: ClusterSite, started: Started, silent: str
) -> None:
    site.cluster.registry.init(_first(site), silent)
    node = site.join()
    started("a")
    site.close(stop=False)
    # A server may be running at the silent address.
    wait_until(lambda: not site.alive("a"))
    assert f"cannot reach {silent}: timeout; retrying" in node.output
    node.kill()


def test_a_node_that_dials_none_of_the_servers_addresses_takes_no_refusal_for_its_absence(
    site: ClusterSite, started: Started, second: str
) -> None:
    site.cluster.registry.init(_first(site), second)
    node = site.join(relayed=True)
    started("a")
    site.close(stop=False)
    # The relay refuses. A server at the second address may be running.
    wait_until(lambda: not site.alive("a"))
    assert second not in node.output, "the node stays at the address of its join file"
    node.kill()


def test_an_address_of_another_server_is_skipped_and_named(
    site: ClusterSite, tmp_path: Path
) -> None:
    stranger = ClusterSite(tmp_path / "elsewhere")
    try:
        stranger.listen()
        foreign, own = _first(stranger), _first(site)
        join_file = site.cluster.add("n1")
        found = JoinFile.read(join_file)
        fields = {each: getattr(found, each) for each in JoinFile.__dataclass_fields__}
        JoinFile(**{**fields, "address": foreign, "addresses": [foreign, own]}).write(join_file)
        node = site.start_node()
        assert f"no secure connection to {foreign}: CERTIFICATE_VERIFY_FAILED\n" in node.output
        wait_until(lambda: f"connected to {own} as n1" in node.output)
    finally:
        stranger.end()


def test_a_host_with_several_addresses_that_all_refuse_has_no_server(
    site: ClusterSite, started: Started
) -> None:
    # For example, a name with an IPv4 and an IPv6 address.
    program = (
        "import socket; real = socket.getaddrinfo; "
        "both = lambda port: [(2, 1, 6, '', (f'127.0.0.{n}', port)) for n in (2, 1)]; "
        "socket.getaddrinfo = lambda host, port, *a, **k: "
        "both(port) if host == 'both.test' else real(host, port, *a, **k); "
    )
    join_file = site.cluster.add("n1", host="both.test")
    site.nodes["n1"] = NodeProcess(join_file, site.directory / "n1", before=program)
    wait_until(lambda: site.state().state == "up" and site.state().agents)
    started("a")
    site.close(stop=False)
    time.sleep(site.cluster.terms.lease * 1.5)
    assert site.alive("a")
    site.open()
    assert site.adopt("a", Proof())
    site.listen()
    wait_until(lambda: site.state().state == "up")
    _check_adopted(site)
