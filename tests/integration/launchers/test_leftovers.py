"""Which processes outlive their attempt."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.launchers.local.leftover_processes import Leftover, leftovers
from orchestrator.launchers.process import proc

ATTEMPT = "abc/worker_2_1/3"


@pytest.fixture
def left(until: Callable[..., None]) -> Iterator[int]:
    """A process with the marker of an attempt."""
    process = subprocess.Popen(["sleep", "60"], env={proc.MARKER: ATTEMPT})
    until(lambda: proc.marked(ATTEMPT))
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def attempts(tmp_path: Path) -> Path:
    place = tmp_path / "job_abc" / "attempts"
    place.mkdir(parents=True)
    return place


@pytest.mark.parametrize("record", ["worker_2_1.3.exit.json", "worker_2_1.3.json"])
def test_a_process_of_an_attempt_that_has_ended_is_named(
    tmp_path: Path, attempts: Path, left: int, record: str
) -> None:
    assert not list(leftovers(tmp_path)), "of another workspace, as far as is known"
    (attempts / "worker_2_1.2.exit.json").touch()
    assert not list(leftovers(tmp_path)), "of another attempt"
    (attempts / record).touch()
    assert list(leftovers(tmp_path)) == [Leftover(left, "sleep", "abc", "worker_2_1")]


def test_a_process_is_not_named_while_the_shim_of_its_attempt_lives(
    tmp_path: Path, attempts: Path, left: int
) -> None:
    # A worker may have put a record next to its shim's claim.
    (attempts / "worker_2_1.3.exit.json").touch()
    shim, boot = proc.start_ticks(left), proc.boot_id()
    claim = f'{{"shim": {left}, "shim_start": {shim}, "boot_id": "{boot}"}}\n'
    (attempts / "worker_2_1.3.exit.run").write_text(claim)
    assert not list(leftovers(tmp_path))
    (attempts / "worker_2_1.3.exit.run").write_text(claim.replace(boot, "another boot"))
    assert [each.pid for each in leftovers(tmp_path)] == [left]


def test_the_caller_s_own_attempt_is_not_named(
    tmp_path: Path, attempts: Path, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (attempts / "worker_2_1.3.exit.json").touch()
    monkeypatch.setenv(proc.MARKER, ATTEMPT)
    assert not list(leftovers(tmp_path))
