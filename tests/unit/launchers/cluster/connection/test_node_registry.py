"""Simultaneous changes of the list of nodes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from orchestrator.core.errors import NotFound
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry, NodeRegistry

COMMANDS = 4


def test_of_simultaneous_removals_of_a_node_only_one_succeeds(tmp_path: Path) -> None:
    start = Barrier(COMMANDS)

    def remove(_: int) -> bool:
        start.wait()
        try:
            NodeRegistry(tmp_path).remove("n1")
        except NotFound:
            return False
        return True

    with ThreadPoolExecutor(COMMANDS) as threads:
        for _ in range(20):
            NodeRegistry(tmp_path).put(NodeEntry(name="n1", serial="1"))
            assert sum(threads.map(remove, range(COMMANDS))) == 1
