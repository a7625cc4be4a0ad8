"""Nodes whose disk is full, and workers of nodes beyond their memory limit."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.containment.containment_settings import (
    ContainmentSettings,
    Mode,
    WorkerLimits,
)
from tests.integration.launchers.cluster.conftest import TICKING, ClusterSite, new_proof
from tests.integration.launchers.conftest import wait_until
from tests.support.machines import skip_or_fail
from tests.support.soaking.disk import fill, mounted, unmount

MIB = 1024 * 1024


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ClusterSite]:
    """The state of node n1 is on a small disk."""
    disk = mounted(tmp_path / "n1")
    if disk is None:
        skip_or_fail("this machine cannot mount a disk", OSError("only root mounts disks"))
    site = ClusterSite(tmp_path)
    site.listen()
    yield site
    site.end()
    unmount(tmp_path / "n1")


def test_nothing_starts_on_a_node_with_a_full_disk_and_it_costs_no_retry(
    site: ClusterSite,
) -> None:
    site.join()
    filler = fill(site.directory / "n1", 0)
    ended = site.run("a", "touch ran")
    assert (ended.ended_by, ended.cause) == (EndedBy.LOST, ExitCause.NO_ROOM)
    assert "No space left on device" in ended.error
    assert not (site.directory / "ran").exists()
    filler.unlink()
    assert site.run("b", "exit 3").code == 3


def test_a_worker_that_runs_when_the_disk_of_its_node_fills_ends_without_the_rest_of_its_log(
    site: ClusterSite,
) -> None:
    site.join()
    release = site.directory / "release"
    site.start("a", f"echo ready; until [ -e {release} ]; do sleep 0.02; done; seq 100000; exit 0")
    wait_until(lambda: site.log("a") == "ready\n")
    filler = fill(site.directory / "n1", 0)
    release.touch()
    ended = site.reports.exit("a")
    assert (ended.ended_by, ended.code, ended.log_lost) == (EndedBy.EXIT, 0, True)
    assert site.alive("a") == []
    filler.unlink()
    wait_until(lambda: not list((site.directory / "n1" / "attempts").iterdir()))


def test_a_daemon_that_starts_again_on_a_full_disk_keeps_its_workers(site: ClusterSite) -> None:
    node = site.join()
    site.start("a", TICKING, proof=new_proof())
    wait_until(lambda: site.log("a").startswith("ready\n"))
    # On a full disk, a file that is emptied first may never be written again.
    stored = (site.directory / "n1" / "terms.json").stat()
    filler = fill(site.directory / "n1", 0)
    killed = node.daemon
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: node.daemon not in (0, killed))
    wait_until(lambda: site.state().state == "up" and site.state().agents)
    assert site.alive("a")
    assert "Traceback" not in node.output
    assert (site.directory / "n1" / "terms.json").stat().st_mtime_ns == stored.st_mtime_ns
    filler.unlink()
    size = len(site.log("a"))
    wait_until(lambda: len(site.log("a")) > size)
    site.launcher.stop(site.id("a"), EndedBy.CANCEL, "user")
    assert site.reports.exit("a").stopped_by == "user"


HOG = "import time; kept = bytearray(300 << 20); kept[::4096] = b'x' * len(kept[::4096]); "


def test_a_worker_beyond_its_memory_on_a_node_ends_alone(tmp_path: Path) -> None:
    containment = ContainmentSettings(mode=Mode.SUBREAPER, limits=WorkerLimits(memory=100 * MIB))
    site = ClusterSite(tmp_path, containment=containment)
    site.listen()
    try:
        node = site.join()
        site.start("b", "until [ -e release ]; do sleep 0.02; done; exit 3")
        script = f"{HOG}time.sleep(60)"
        launch = site.launch("a", "sh", "-c", '"$0" "$@" & wait', sys.executable, "-c", script)
        site.launcher.start(launch)
        ended = site.reports.exit("a")
        assert ended.ended_by is EndedBy.LIMIT
        assert ended.error == "killed: used more than 100 MiB of memory (workers.limits.memory)"
        assert site.alive("a") == []
        assert site.state().state == "up"
        assert node.daemon
        (tmp_path / "release").touch()
        assert site.reports.exit("b").code == 3
    finally:
        site.end()
