"""Doctor's checks of a cluster's nodes."""

from typing import Any

from orchestrator.cli.doctor.server import node_checks


def node(name: str, state: str, **given: Any) -> dict[str, Any]:
    usual = {"slots": 4, "clock_skew_seconds": 0.1, "seen_seconds": 0.2, "notice": ""}
    return {"name": name, "state": state, **usual, **given}


def test_nodes_that_work_have_one_line() -> None:
    [check] = node_checks([node("n1", "up"), node("n2", "up"), node("n3", "drained")])

    assert (check.ok, check.message) == (True, "2 of 3 nodes get workers; slots: 8")


def test_without_a_working_node_the_line_is_a_note() -> None:
    [check] = node_checks([node("n1", "unknown", seen_seconds=None)])

    assert (check.ok, check.message) == (None, "0 of 1 nodes get workers; slots: 0")


def test_each_node_with_a_problem_is_named_with_its_fix() -> None:
    nodes = [
        node("n1", "unreachable", seen_seconds=41.0),
        node("n2", "rejected", notice="n2 has version 1, the server 2"),
        node("n3", "up", clock_skew_seconds=-2.04),
    ]

    _, away, rejected, slow = node_checks(nodes)

    assert {each.ok for each in (away, rejected, slow)} == {False}
    assert (away.name, away.message) == ("node n1", "unreachable for 41 s")
    assert "nodes forget n1" in away.fix
    assert rejected.message == "n2 has version 1, the server 2"
    assert slow.message == "the node's clock is 2.0 s behind"
    assert "clock of n3" in slow.fix
