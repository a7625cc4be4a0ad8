"""The orphan timeout of a worker whose server has exited. The test moves the clock."""

import fcntl
import os
from pathlib import Path

import pytest

from orchestrator.launchers.shim.orphan_timeout import OrphanTimeout


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "server.lock"
    path.touch()
    return path


def ends_after(timeout: OrphanTimeout, start: float, most: float) -> float | None:
    """Return the seconds after which the timeout expires."""
    now = start
    while now <= start + most:
        if timeout.is_over(now):
            return now - start
        assert timeout.wakes_at is not None and timeout.wakes_at > now
        now = timeout.wakes_at
    return None


def test_the_orphan_timeout_ends_after_its_seconds(lock: Path) -> None:
    assert ends_after(OrphanTimeout(str(lock), 7200, 50.0), 50.0, 10_000) == pytest.approx(7200)


def test_zero_is_for_ever(lock: Path) -> None:
    timeout = OrphanTimeout(str(lock), 0, 50.0)
    assert timeout.wakes_at is None and not timeout.is_over(1e9)


def test_a_server_that_holds_the_lock_renews_it(lock: Path) -> None:
    held = os.open(lock, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    timeout = OrphanTimeout(str(lock), 100, 0.0)
    assert ends_after(timeout, 0.0, 1000) is None
    os.close(held)
    now = timeout.wakes_at
    assert now is not None
    seconds_left = ends_after(timeout, now, 1000)
    assert seconds_left is not None and 70 <= seconds_left <= 100


def test_a_check_does_not_change_the_lock(lock: Path) -> None:
    timeout = OrphanTimeout(str(lock), 100, 0.0)
    timeout.is_over(30.0)
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_removed_workspace_has_no_server(tmp_path: Path) -> None:
    assert ends_after(OrphanTimeout(str(tmp_path / "no" / "lock"), 10, 0.0), 0.0, 100) == 10
