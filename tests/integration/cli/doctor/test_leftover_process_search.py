"""Processes that outlive their attempt."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.doctor.leftover_process_search import (
    FoundLeftoverProcess,
    find_leftover_processes,
    has_lost_parent,
)
from orchestrator.launchers.process import process_control
from orchestrator.system import process_table
from tests.integration.site import until

#: An attempt id of this test process alone, because several processes run tests.
ROOT = f"abc{os.getpid()}"
ATTEMPT = f"{ROOT}/worker_2_1/3"


@pytest.fixture
def left() -> Iterator[int]:
    """Start a process with the marker of an attempt."""
    process = subprocess.Popen(["sleep", "60"], env={process_table.MARKER: ATTEMPT})
    until(lambda: process_table.marked(ATTEMPT), "the process has its marker")
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def attempts(tmp_path: Path) -> Path:
    place = tmp_path / f"job_{ROOT}" / "attempts"
    place.mkdir(parents=True)
    return place


@pytest.mark.parametrize("record", ["worker_2_1.3.exit.json", "worker_2_1.3.json"])
def test_a_process_of_an_attempt_that_has_ended_is_named(
    tmp_path: Path, attempts: Path, left: int, record: str
) -> None:
    assert not list(find_leftover_processes(tmp_path)), (
        "the process may belong to another workspace"
    )
    (attempts / "worker_2_1.2.exit.json").touch()
    assert not list(find_leftover_processes(tmp_path)), "the process belongs to another attempt"
    (attempts / record).touch()
    assert list(find_leftover_processes(tmp_path)) == [
        FoundLeftoverProcess(left, "sleep", ROOT, "worker_2_1")
    ]


def test_a_process_is_not_named_while_the_shim_of_its_attempt_lives(
    tmp_path: Path, attempts: Path, left: int
) -> None:
    # A worker may have written a record next to its shim's lock.
    (attempts / "worker_2_1.3.exit.json").touch()
    shim, boot = process_table.start_ticks(left), process_table.boot_id()
    lock = f'{{"shim": {left}, "shim_start": {shim}, "boot_id": "{boot}"}}\n'
    (attempts / "worker_2_1.3.exit.run").write_text(lock)
    assert not list(find_leftover_processes(tmp_path))
    (attempts / "worker_2_1.3.exit.run").write_text(lock.replace(boot, "another boot"))
    assert [each.pid for each in find_leftover_processes(tmp_path)] == [left]


def test_the_caller_s_own_attempt_is_not_named(
    tmp_path: Path, attempts: Path, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (attempts / "worker_2_1.3.exit.json").touch()
    monkeypatch.setenv(process_table.MARKER, ATTEMPT)
    assert not list(find_leftover_processes(tmp_path))


def test_an_orphan_without_a_marker_is_named_by_the_worker_whose_directory_it_is_in(
    tmp_path: Path,
) -> None:
    # An earlier test may have made this process the parent of all orphans.
    process_control._prctl(process_control._PR_SET_CHILD_SUBREAPER, 0)
    place = tmp_path / f"job_{ROOT}" / "depth_1" / "worker_2_1" / "worktree"
    place.mkdir(parents=True)
    argv = ["sh", "-c", "sleep 60 >/dev/null & echo $!"]
    pid = int(subprocess.run(argv, cwd=place, env={}, stdout=subprocess.PIPE).stdout)
    try:
        until(lambda: has_lost_parent(process_table.look_up(pid)), "the parent has ended")
        until(lambda: process_table.look_up(pid).command == "sleep", "sleep runs")
        assert list(find_leftover_processes(tmp_path)) == [
            FoundLeftoverProcess(pid, "sleep", ROOT, "worker_2_1")
        ]
        assert not list(find_leftover_processes(tmp_path / "another"))
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_process_that_has_its_parent_is_no_orphan(tmp_path: Path) -> None:
    place = tmp_path / f"job_{ROOT}" / "depth_0" / "worker_1"
    place.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], cwd=place, env={}) as process:
        assert not list(find_leftover_processes(tmp_path))
        process.kill()
