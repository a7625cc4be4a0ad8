"""Texts about a node for people."""

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.launchers.cluster.connected_node import ConnectedNode, state_of


@pytest.mark.parametrize(
    ("count", "notice"),
    [
        (1, "1 worker starts again on another machine in 5 s"),
        (3, "3 workers start again on other machines in 5 s"),
    ],
)
def test_a_lost_node_names_the_workers_that_start_elsewhere(count: int, notice: str) -> None:
    node = ConnectedNode("n1", fenced_at=5.0)
    attempt: Any = SimpleNamespace(is_waiting=False)
    node.attempts |= {str(number): attempt for number in range(count)}

    assert state_of(node, None, 0.0, 10.0).notice == notice
