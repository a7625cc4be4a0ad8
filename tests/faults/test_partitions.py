"""Nodes in separate network namespaces, behind a partition."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.exit_cause import ExitCause
from tests.contract.launcher_adapters import LauncherSite
from tests.integration.launchers.conftest import wait_until
from tests.support.cluster import NodeProcess, TestCluster
from tests.support.machines import Namespace, namespaces


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with namespaces(1) as [found]:
        yield found


def test_no_worker_runs_on_both_sides_of_a_partition(namespace: Namespace, tmp_path: Path) -> None:
    cluster = TestCluster(tmp_path, host=namespace.server)
    join_file = cluster.add("n1")
    site = LauncherSite(tmp_path, cluster.launcher, "n1")
    site.listen()
    node = NodeProcess(join_file, tmp_path / "n1", prefix=namespace.prefix)
    try:
        launcher = site.launcher
        wait_until(lambda: any(each.takes_workers and each.name for each in launcher.machines))  # type: ignore[attr-defined]
        witness = tmp_path / "witness"
        site.start("a", f"while :; do date +%s.%N >> {witness}; sleep 0.05; done", grace=3600.0)
        wait_until(witness.exists)
        namespace.cut()
        ended = site.reports.exit("a")
        lost_at = time.time()
        assert ended.cause is ExitCause.NODE_LOST
        size = witness.stat().st_size
        namespace.reconnect()
        wait_until(lambda: any(each.takes_workers and each.name for each in launcher.machines))  # type: ignore[attr-defined]
        assert witness.stat().st_size == size
        assert float(witness.read_text().split()[-1]) < lost_at
        assert site.run("b", "exit 3").code == 3
    finally:
        node.end()
        site.close()
