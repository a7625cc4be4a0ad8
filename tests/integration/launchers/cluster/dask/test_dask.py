"""Nodes on the workers of a real Dask cluster with TLS, on this machine."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.doctor.server import scheduler_check
from orchestrator.core.errors import ConfigError
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.machines import Machine
from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher
from orchestrator.launchers.cluster.dask.dask_nodes import node_name, scheduler_address
from tests.contract.launcher_adapters import LauncherSite
from tests.integration.launchers.conftest import wait_until
from tests.support.cluster import TestCluster
from tests.support.dask_cluster import DaskCluster, pids_with


@pytest.fixture
def dask_cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    found = DaskCluster(tmp_path)
    yield found
    found.end()


def test_workers_are_nodes_and_outlive_the_scheduler(
    tmp_path: Path, dask_cluster: DaskCluster
) -> None:
    scheduler = dask_cluster.start_scheduler()
    dask_cluster.start_worker("w1")
    cluster = TestCluster(tmp_path)
    first, second = node_name("w1", "127.0.0.1"), node_name("w2", "127.0.0.1")
    site = LauncherSite(tmp_path, lambda: cluster.launcher(scheduler=dask_cluster.address), first)
    launcher: Any = site.launcher
    assert isinstance(launcher, ClusterLauncher)

    def state(name: str) -> str:
        return next((each.state for each in launcher.nodes() if each.name == name), "")

    try:
        site.listen()
        wait_until(lambda: state(first) == "up")
        wait_until(lambda: {each.name: each.slots for each in launcher.machines}[first] == 2)
        late = dask_cluster.start_worker("w2")
        wait_until(lambda: state(second) == "up")

        wait_until(lambda: len(cluster.registry.entries()) == 2)
        late.kill()  # Dask reports the loss: the node is removed, and its processes end.
        wait_until(lambda: second not in cluster.registry.entries())
        wait_until(lambda: not pids_with(f"{cluster.certificates / second}.join"))

        runs, done = tmp_path / "runs", tmp_path / "done"
        site.start("a", f"echo run >> {runs}; until [ -e {done} ]; do sleep 0.05; done")
        wait_until(runs.exists)
        scheduler.kill()
        scheduler.wait()
        dask_cluster.processes[1].wait(60)  # Dask's worker ends without its scheduler.
        assert state(first) == "up"
        again = dask_cluster.start_scheduler()
        dask_cluster.start_worker("w1")
        third = node_name("w3", "127.0.0.1")
        dask_cluster.start_worker("w3")
        wait_until(lambda: state(third) == "up")
        assert again.poll() is None
        assert state(first) == "up"
        done.touch()
        ended = site.reports.exit("a")
        assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 0)
        assert runs.read_text() == "run\n"
    finally:
        for name in cluster.registry.entries():
            cluster.registry.remove(name)
        wait_until(lambda: not pids_with(f"{cluster.certificates}/"))
        site.close()


@pytest.mark.nightly
def test_dask_is_scaled_by_waiting_workers_and_keeps_machines_that_work(
    tmp_path: Path, dask_cluster: DaskCluster
) -> None:
    dask_cluster.start_owner()
    cluster, waiting = TestCluster(tmp_path), [3]

    def make() -> ClusterLauncher:
        def demand(machine: Machine, most: int) -> int:
            return min(most, waiting[0])

        return cluster.launcher(scheduler=dask_cluster.address, adapt=(0, 2), demand=demand)

    site = LauncherSite(tmp_path, make)
    launcher: Any = site.launcher

    def up() -> list[str]:
        return [each.name for each in launcher.nodes() if each.state == "up"]

    try:
        site.listen()
        wait_until(lambda: len(up()) == 2, 60)
        for pid in pids_with(f"{cluster.certificates / up()[0]}.join"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(up()) == 1)
        wait_until(
            lambda: len(up()) == 2, 60
        )  # The node's Dask worker still runs, so the node starts again.

        busy, done = up()[1], tmp_path / "done"
        site.start("a", f"echo on; until [ -e {done} ]; do sleep 0.05; done", node=busy)
        wait_until(lambda: "on" in site.log("a"))
        waiting[0] = 0
        wait_until(lambda: [each.name for each in launcher.nodes()] == [busy], 60)
        waiting[0] = 4
        wait_until(lambda: len(up()) == 2, 60)
        waiting[0] = 0
        done.touch()
        ended = site.reports.exit("a")
        assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 0)
        wait_until(lambda: not launcher.nodes(), 60)
        wait_until(lambda: not pids_with(f"{cluster.certificates}/"))
    finally:
        for name in cluster.registry.entries():
            cluster.registry.remove(name)
        wait_until(lambda: not pids_with(f"{cluster.certificates}/"))
        site.close()


@pytest.mark.parametrize(
    "address",
    [
        "head:8785",
        "tls://head",
        "http://head:1",
        "tcp://head.lan:8785",
        "tcp://0.0.0.0:1",
        "tls://h:x",
    ],
)
def test_an_unusable_address_of_a_scheduler_is_an_error(address: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.scheduler"):
        scheduler_address(address)


def test_names_of_nodes_are_valid_and_of_one_machine() -> None:
    assert node_name("tls://10.0.0.7:4567", "10.0.0.7") == "dask-10-0-0-7-4567"
    assert node_name("gpu", "10.0.0.7") != node_name("gpu", "10.0.0.8")


def test_doctor_reports_a_scheduler_that_is_not_reachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"tls://127.0.0.1:{listening.getsockname()[1]}"
        assert scheduler_check(address).ok
    found = scheduler_check(address)
    assert found.ok is False
    assert "no scheduler at" in found.message
