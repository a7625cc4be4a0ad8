"""Late results of lost attempts, on a server whose disk fails for a moment."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.launchers.cluster.lost_nodes import LostAttempt
from orchestrator.launchers.cluster.node_attempt import output_paths

RECORD = '{"ended_by": "exit", "code": 0}'


@pytest.fixture
def lost(tmp_path: Path) -> LostAttempt:
    """An attempt whose node has reconnected. The server has the output ``before``."""
    log = tmp_path / "worker_1.log"
    log.write_text("before\n")
    exit_path = str(tmp_path / "worker_1.1.exit.json")
    attempt = LostAttempt("job/worker_1.1", exit_path, "", output_paths(str(log)))
    assert attempt.begin({"log": 0, "raw": 0}) == {"log": 7, "raw": 0}
    return attempt


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    former, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (former, hard))


def stored(attempt: LostAttempt) -> str:
    assert attempt.publish(RECORD)
    assert Path(attempt.exit_path).read_text() == RECORD
    return Path(attempt.paths["log"]).read_text()


def test_the_log_has_no_gap_after_a_failed_write(lost: LostAttempt) -> None:
    lost.append("log", 7, b"1\n")
    with limited(resource.RLIMIT_FSIZE, 3):
        lost.append("log", 9, b"2\n")
    lost.append("log", 11, b"3\n")
    assert "before\n1\n2\n3\n".startswith(log := stored(lost)) and log.startswith("before\n1\n")


@pytest.mark.parametrize("kind", [resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE])
def test_a_result_is_stored_without_output_that_could_not_be_stored(
    lost: LostAttempt, kind: int
) -> None:
    with limited(kind, 1):
        lost.append("log", 7, b"1\n")
    assert "before\n1".startswith(stored(lost))


def test_a_result_is_stored_if_the_log_is_unusable(lost: LostAttempt, tmp_path: Path) -> None:
    lost.append("log", 7, b"1\n")
    log = Path(lost.paths["log"])
    log.rename(tmp_path / "other.log")
    log.symlink_to(tmp_path / "other.log")
    assert stored(lost) == "before\n"


def test_the_first_raw_output_of_a_job_may_be_late(lost: LostAttempt, tmp_path: Path) -> None:
    lost.append("raw", 0, b"{}\n")
    stored(lost)
    assert Path(lost.paths["raw"]).read_text() == "{}\n"
    assert not list(tmp_path.glob("*.late.*"))
