"""Leases of nodes, which shims enforce even if their launcher exits or hangs."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.exit_record.exit_record import read_exit
from orchestrator.launchers.process.lease_file import LeaseFile, LeaseWatch, boot_time
from orchestrator.system import process_table
from tests.integration.launchers.conftest import (
    REPOSITORY,
    SERVER,
    alive_escapees,
    all_escaped,
    escapees,
)

#: Longer than any test: an end that it does not cut short is seen as a hang.
LONG_GRACE = 3600.0


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[LeaseFile]:
    lease = LeaseFile(str(tmp_path / "lease"))
    yield lease
    lease.close()


def test_a_worker_runs_while_its_lease_is_extended(
    stage: Any, lease: LeaseFile, tmp_path: Path
) -> None:
    lease.extend(boot_time() + 60.0)
    ended = stage.shell("a", "sleep 0.6; exit 4", lease_file=str(tmp_path / "lease"))
    assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 4)


def test_a_worker_is_stopped_when_its_lease_ends(
    stage: Any, lease: LeaseFile, tmp_path: Path, until: Callable[..., None]
) -> None:
    lease.extend(boot_time() + 600.0)
    stage.start("a", "sh", "-c", "echo ready; sleep 600", lease_file=str(tmp_path / "lease"))
    until(lambda: stage.is_ready("a"))
    lease.extend(boot_time() + 0.3)
    ended = stage.reports.exit("a")
    assert (ended.ended_by, ended.cause) == (EndedBy.CANCEL, ExitCause.LEASE_ENDED)
    assert ended.signal == signal.SIGTERM


def test_nothing_starts_after_the_end_of_the_lease(
    stage: Any, lease: LeaseFile, tmp_path: Path
) -> None:
    lease.extend(boot_time() - 1.0)
    ended = stage.shell("a", f"touch {tmp_path / 'ran'}", lease_file=str(tmp_path / "lease"))
    assert (ended.ended_by, ended.cause) == (EndedBy.CANCEL, ExitCause.LEASE_ENDED)
    assert not (tmp_path / "ran").exists()


def test_the_end_of_a_lease_leaves_no_process_and_no_long_grace(
    stage: Any, lease: LeaseFile, tmp_path: Path, until: Callable[..., None]
) -> None:
    lease.extend(boot_time() + 600.0)
    launch = stage.launch(
        "a", *escapees(tmp_path, "stay"), lease_file=str(tmp_path / "lease"), grace=LONG_GRACE
    )
    stage.launcher.start(launch)
    until(lambda: all_escaped(tmp_path))
    lease.extend(boot_time() - 1.0)
    assert stage.reports.exit("a").cause is ExitCause.LEASE_ENDED
    assert alive_escapees(tmp_path) == []


def test_a_stop_with_a_long_grace_is_cut_short_by_the_lease(
    stage: Any, lease: LeaseFile, tmp_path: Path, until: Callable[..., None]
) -> None:
    lease.extend(boot_time() + 600.0)
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    changes = {"lease_file": str(tmp_path / "lease"), "grace": LONG_GRACE}
    stage.start("a", "sh", "-c", script, **changes)
    until(lambda: stage.is_ready("a"))
    stage.stop("a", "cancel", "user")
    lease.extend(boot_time() - 1.0)
    ended = stage.reports.exit("a")
    assert (ended.stopped_by, ended.signal) == ("user", signal.SIGKILL)


def test_a_lease_whose_file_is_missing_has_ended(stage: Any, tmp_path: Path) -> None:
    ended = stage.shell("a", "sleep 600", lease_file=str(tmp_path / "none"))
    assert ended.cause is ExitCause.LEASE_ENDED


def test_a_shim_forgets_the_lease_of_its_former_attempt(
    stage: Any, lease: LeaseFile, tmp_path: Path
) -> None:
    lease.extend(boot_time() + 60.0)
    stage.shell("a", "exit 0", lease_file=str(tmp_path / "lease"))
    lease.extend(boot_time() - 1.0)
    assert stage.shell("b", "sleep 0.6; exit 4").code == 4


@pytest.mark.parametrize("ends", ["stopped", "killed"])
def test_a_launcher_that_hangs_or_dies_extends_no_lease(
    lease: LeaseFile, tmp_path: Path, until: Callable[..., None], ends: str
) -> None:
    lease.extend(boot_time() + 600.0)
    attempt_id = f"{uuid.uuid4().hex}/a"
    given = ["subreaper", attempt_id, str(tmp_path), *escapees(tmp_path, "stay")]
    environ = {**os.environ, "LEASE_FILE": str(tmp_path / "lease")}
    server = subprocess.Popen(
        [sys.executable, str(SERVER), *given], stdout=subprocess.PIPE, cwd=REPOSITORY, env=environ
    )
    try:
        assert server.stdout is not None
        server.stdout.readline()
        until(lambda: all_escaped(tmp_path))
        server.send_signal(signal.SIGSTOP if ends == "stopped" else signal.SIGKILL)
        lease.extend(boot_time() - 1.0)
        until(lambda: read_exit(str(tmp_path / "a.json")) is not None)
        ended = read_exit(str(tmp_path / "a.json"))
        assert ended is not None
        assert ended.cause is ExitCause.LEASE_ENDED
        assert alive_escapees(tmp_path) == []
        assert process_table.marked(attempt_id) == []
    finally:
        lease.extend(boot_time() - 1.0)
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def test_a_lease_is_read_four_times_a_second() -> None:
    watch = LeaseWatch("/nonexistent", 10.0)
    assert not watch.is_over(9.9)
    assert watch.is_over(10.0)
    assert not watch.is_over(10.1)
    assert watch.is_over(10.3)
