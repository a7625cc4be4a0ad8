"""Conditions under which the log of an attempt counts as lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.launchers.shim.worker_log import WorkerLog
from orchestrator.security.secrets.masking import Masker

NAME = "depth_0_worker_1.log"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    place = tmp_path / "workspace" / "job_abc" / "logs"
    place.mkdir(parents=True)
    return place


@pytest.fixture
def log(logs: Path) -> WorkerLog:
    log = WorkerLog(str(logs / NAME), 1 << 20, Masker(()))
    log.write(b"one\n")
    return log


def test_a_log_whose_workspace_was_moved_is_whole(tmp_path: Path, log: WorkerLog) -> None:
    (tmp_path / "workspace").rename(tmp_path / "renamed")
    log.write(b"two\x1b[2J\n")
    log.close()

    assert not log.is_lost
    moved = tmp_path / "renamed" / "job_abc" / "logs"
    assert (moved / NAME).read_text() == "one\ntwo\n"
    assert (moved / "raw" / NAME).read_bytes() == b"\x1b[2J\n"
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize(
    "lose",
    [
        lambda logs: (logs / NAME).unlink(),
        lambda logs: (logs / NAME).rename(logs / "another"),
        lambda logs: logs.rename(logs.with_name("another")),
        lambda logs: (logs / NAME).write_text(""),
    ],
)
def test_a_log_that_its_worker_removes_is_lost(
    logs: Path, log: WorkerLog, lose: Callable[[Path], object]
) -> None:
    lose(logs)
    log.write(b"two\n")
    log.close()

    assert log.is_lost
