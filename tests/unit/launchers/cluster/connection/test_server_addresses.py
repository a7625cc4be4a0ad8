"""The addresses at which a node connects to its server."""

import json
from pathlib import Path

import pytest

from orchestrator.core.errors import ConfigError
from orchestrator.launchers.cluster.connection.node_registry import NodeRegistry
from orchestrator.launchers.cluster.connection.server_addresses import (
    ServerAddresses,
    host_and_port,
)
from orchestrator.launchers.cluster.node.join_file import JoinFile


@pytest.mark.parametrize(
    ("own", "listed", "through", "dialled", "are_complete"),
    [
        (["a:1"], ["a:1"], "a:1", ["a:1"], True),
        (["a:1"], ["a:1", "b:1"], "a:1", ["a:1", "b:1"], True),
        (["a:1", "b:1"], ["b:1", "c:1"], "b:1", ["b:1", "c:1"], True),
        (["relay:1"], ["a:1"], "relay:1", ["relay:1"], True),
        (["relay:1"], ["a:1", "b:1"], "relay:1", ["relay:1"], False),
        (["relay:1", "a:1"], ["a:1"], "relay:1", ["relay:1", "a:1"], True),
        (["a:1"], [], "a:1", ["a:1"], True),
    ],
    ids=["same", "longer", "moved", "relay", "relay to several", "relay first", "older server"],
)
def test_the_servers_list_counts_if_it_has_the_address_of_the_connection(
    tmp_path: Path, own: list[str], listed: list[str], through: str, dialled: list[str],
    are_complete: bool,
) -> None:  # fmt: skip
    ServerAddresses(tmp_path, own).store(through, listed)
    # The next process of the node.
    found = ServerAddresses(tmp_path, own)
    assert (list(found.in_turn()), found.are_complete) == (dialled, are_complete)


def test_the_address_that_answered_last_is_first(tmp_path: Path) -> None:
    found = ServerAddresses(tmp_path, ["a:1", "b:1", "c:1"])
    found.store("b:1", ["a:1", "b:1", "c:1"])
    assert list(found.in_turn()) == ["b:1", "a:1", "c:1"]
    again = ServerAddresses(tmp_path, ["a:1", "b:1", "c:1"])
    assert list(again.in_turn()) == ["b:1", "a:1", "c:1"]


def test_another_join_file_replaces_the_stored_list(tmp_path: Path) -> None:
    ServerAddresses(tmp_path, ["a:1"]).store("a:1", ["a:1", "b:1"])
    assert list(ServerAddresses(tmp_path, ["relay:1"]).in_turn()) == ["relay:1"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"own": ["a:1"]}'])
def test_a_damaged_list_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "addresses.json").write_text(content)
    assert list(ServerAddresses(tmp_path, ["a:1"]).in_turn()) == ["a:1"]


def _join_file(**changes: object) -> JoinFile:
    texts = {"authority": "", "certificate": "", "key": ""}
    return JoinFile(**{"name": "n1", "address": "a:1", **texts, **changes})  # type: ignore[arg-type]


def test_a_join_file_with_one_address_is_readable_by_earlier_releases(tmp_path: Path) -> None:
    _join_file(addresses=["a:1"]).write(tmp_path / "n1.join")
    assert json.loads((tmp_path / "n1.join").read_text()).keys() == {
        "name", "address", "authority", "certificate", "key",
    }  # fmt: skip
    assert JoinFile.read(tmp_path / "n1.join").unpack(tmp_path, 1).addresses == ("a:1",)


def test_a_join_file_has_all_addresses(tmp_path: Path) -> None:
    _join_file(addresses=["a:1", "b:1"]).write(tmp_path / "n1.join")
    found = JoinFile.read(tmp_path / "n1.join")
    assert found.unpack(tmp_path, 1).addresses == ("a:1", "b:1")
    changed = _join_file(address="relay:1", addresses=["a:1", "b:1"])
    assert changed.unpack(tmp_path, 1).addresses == ("relay:1",), "someone has changed the address"
    with pytest.raises(ConfigError, match="'nowhere' is not an address"):
        _join_file(addresses=["a:1", "nowhere"]).unpack(tmp_path, 1)


def test_a_list_of_nodes_of_an_earlier_release_has_one_address(tmp_path: Path) -> None:
    registry = NodeRegistry(tmp_path)
    assert (registry.address, registry.addresses) == ("", ())
    (tmp_path / "nodes.json").write_text('{"address": "a:1", "nodes": {}}')
    assert (registry.address, registry.addresses) == ("a:1", ("a:1",))
    registry.init("b:1", "c:1")
    assert (registry.address, registry.addresses) == ("b:1", ("b:1", "c:1"))


def test_an_address_has_a_host_and_a_port() -> None:
    assert host_and_port("head.lan:8786") == ("head.lan", 8786)
    assert host_and_port("[::1]:8786") == ("::1", 8786)
    for each in ("head.lan", "head.lan:", ":8786", "head.lan:http", "head.lan:65536"):
        with pytest.raises(ConfigError, match="is not an address"):
            host_and_port(each)
