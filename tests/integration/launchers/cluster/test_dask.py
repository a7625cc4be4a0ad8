"""Nodes on the workers of a real Dask cluster, with TLS, in processes of this machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.doctor.server import scheduler_check
from orchestrator.core.errors import ConfigError
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher
from orchestrator.launchers.cluster.dask_nodes import node_name, scheduler_address
from tests.contract.launcher_adapters import LauncherSite
from tests.integration.launchers.conftest import wait_until
from tests.support.cluster import TestCluster, free_port

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


class DaskCluster:
    """A scheduler and workers, each a process whose output is in a file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()
        self.address = f"tls://127.0.0.1:{self.port}"
        security = distributed.Security.temporary()
        places = {}
        for name in ("ca_file", "scheduler_cert", "scheduler_key", "worker_cert", "worker_key"):
            path = directory / f"{name}.pem"
            path.write_text(getattr(security, f"tls_{name}"))
            path.chmod(0o600)
            places[name] = str(path)
        tls = "distributed.comm.tls."
        self._config = dask.config.set(
            {
                f"{tls}ca-file": places["ca_file"],
                f"{tls}client.cert": places["worker_cert"],
                f"{tls}client.key": places["worker_key"],
            }
        )
        self._environ = {**os.environ, "XDG_STATE_HOME": str(directory / "state")}
        self._tls = ["--tls-ca-file", places["ca_file"]]
        self._places = places
        self.processes: list[subprocess.Popen[bytes]] = []

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        certificate = [
            "--tls-cert", self._places[f"{kind}_cert"], "--tls-key", self._places[f"{kind}_key"],
        ]  # fmt: skip
        argv = [
            sys.executable, "-m", "distributed.cli.dask_" + kind, *options, *self._tls,
            *certificate, "--dashboard-address", "127.0.0.1:0",
        ]  # fmt: skip
        with (self._directory / f"{kind}.log").open("ab") as log:
            found = subprocess.Popen(
                argv, cwd=self._directory, env=self._environ, stdout=log, stderr=log
            )
        self.processes.append(found)
        return found

    def scheduler(self) -> subprocess.Popen[bytes]:
        return self._start(
            "scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", str(self.port)
        )

    def worker(self, name: str) -> subprocess.Popen[bytes]:
        return self._start(
            "worker", self.address, "--no-nanny", "--nthreads", "2", "--memory-limit", "0",
            "--name", name, "--host", "127.0.0.1",
        )  # fmt: skip

    def end(self) -> None:
        for each in reversed(self.processes):
            each.kill()
            each.wait()
        self._config.__exit__(None, None, None)


def _commands_with(text: str) -> list[str]:
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(command)
    return found


@pytest.fixture
def dask_cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    found = DaskCluster(tmp_path)
    yield found
    found.end()


def test_workers_are_nodes_and_outlive_the_scheduler(
    tmp_path: Path, dask_cluster: DaskCluster
) -> None:
    scheduler = dask_cluster.scheduler()
    dask_cluster.worker("w1")
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
        late = dask_cluster.worker("w2")
        wait_until(lambda: state(second) == "up")

        wait_until(lambda: len(cluster.registry.entries()) == 2)
        late.kill()  # Dask reports its loss: no more workers, and then no node.
        wait_until(lambda: second not in cluster.registry.entries())
        wait_until(lambda: not _commands_with(f"{cluster.place / second}.join"))

        runs, done = tmp_path / "runs", tmp_path / "done"
        site.start("a", f"echo run >> {runs}; until [ -e {done} ]; do sleep 0.05; done")
        wait_until(runs.exists)
        scheduler.kill()
        scheduler.wait()
        dask_cluster.processes[1].wait(60)  # Dask's worker ends without its scheduler.
        assert state(first) == "up"
        again = dask_cluster.scheduler()
        dask_cluster.worker("w1")
        third = node_name("w3", "127.0.0.1")
        dask_cluster.worker("w3")
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
        wait_until(lambda: not _commands_with(f"{cluster.place}/"))
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
