"""A full disk, and leaks of the launcher after many attempts."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.local.local_launcher import LocalLauncher
from orchestrator.system import process_table
from tests.integration.launchers.conftest import Reports


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        if os.environ.get("CI"):
            pytest.fail("a small disk cannot be mounted here; in CI it must")
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_the_log_but_not_the_worker(stage: Any, small_disk: Path) -> None:
    ended = stage.shell(
        "a",
        "head -c 1000000 /dev/zero; echo done > finished",
        log=str(small_disk / "a.log"),
        exit_path=str(small_disk / "a.json"),
    )
    assert (stage.directory / "finished").exists()
    assert (ended.ended_by, ended.code, ended.log_lost) == (EndedBy.EXIT, 0, True)
    assert exit_record.read_exit(str(small_disk / "a.json")) == ended, (
        "the end is recorded despite the full disk"
    )


def test_on_a_full_disk_nothing_starts_and_the_error_names_the_disk(
    stage: Any, small_disk: Path
) -> None:
    with pytest.raises(OSError, match="space"):
        (small_disk / "filler").write_bytes(b"x" * 1_000_000)
    changes = {"log": str(small_disk / "a.log"), "exit_path": str(small_disk / "a.json")}
    ended = stage.shell("a", "touch ran", **changes)
    # The worker has not failed: the attempt is repeated when the disk has space.
    assert ended.ended_by is EndedBy.LOST and ended.cause is ExitCause.NO_ROOM
    assert "No space left" in ended.error
    assert not (stage.directory / "ran").exists()


def _threads_and_descriptors() -> tuple[int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def test_nothing_leaks_over_two_hundred_attempts(stage: Any) -> None:
    _run_many(stage, "warm", 8)
    shims = len(process_table.children(stage.spawner))
    before = _threads_and_descriptors()
    began = _shim_descriptors(stage)
    _run_many(stage, "many", 200)
    assert _threads_and_descriptors() == before
    assert len(process_table.children(stage.spawner)) <= max(shims, 4)
    assert max(_shim_descriptors(stage)) <= max(began)


def _run_many(stage: Any, prefix: str, count: int) -> None:
    names = [f"{prefix}{number}" for number in range(count)]
    for start in range(0, count, 4):
        for name in names[start : start + 4]:
            stage.start(name, "sh", "-c", "sleep 30 & echo x", secrets=("secret-12345",))
        for name in names[start : start + 4]:
            assert stage.reports.exit(name).code == 0


def _shim_descriptors(stage: Any) -> list[int]:
    if os.getuid() != 0:
        return [0]  # Only root can list a shim's descriptors.
    shims = process_table.children(stage.spawner)
    return [len(os.listdir(f"/proc/{shim}/fd")) for shim in shims]


def test_closing_leaves_no_process_thread_or_descriptor(tmp_path: Path, stage: Any) -> None:
    before = _threads_and_descriptors()
    other = type(stage)(tmp_path)
    above = other.launcher.keeper_pid, other.spawner
    _run_many(other, "a", 8)
    other.close()
    other.close()
    assert _threads_and_descriptors() == before
    assert [process_table.start_ticks(pid) for pid in above] == [None, None]


def test_idle_shims_beyond_four_are_let_go(stage: Any, until: Callable[..., None]) -> None:
    names = [f"w{number}" for number in range(10)]
    for name in names:
        stage.start(name, "sh", "-c", "while [ ! -e gate ]; do sleep 0.02; done")
    for name in names:
        stage.reports.pid(name)
    (stage.directory / "gate").touch()
    for name in names:
        stage.reports.exit(name)
    until(lambda: len(process_table.children(stage.spawner)) == 4)
    assert stage.shell("after", "exit 2").code == 2


def test_idle_shims_use_no_processor(stage: Any, until: Callable[..., None]) -> None:
    """A worker's last output is read after the worker's end."""

    def all_asleep() -> bool:
        shims = process_table.children(stage.spawner)
        looks = [process_table.look_up(pid) for _ in range(50) for pid in shims]
        return all(look is not None and look.state == "S" for look in looks)

    for number in range(20):
        stage.run(f"a{number}", "/bin/echo", "the last words")
        until(all_asleep)


def test_two_hundred_live_workers_cost_the_server_nothing(stage: Any) -> None:
    names = [f"w{number}" for number in range(200)]
    for name in names:
        stage.start(name, "sleep", "100", timeout=300.0)
    for name in names:
        stage.reports.pid(name)
    before = time.process_time()
    time.sleep(1.0)
    assert time.process_time() - before < 0.01
    for name in names:
        stage.stop(name, "cancel", "user")
    for name in names:
        assert stage.reports.exit(name).signal == 15


def test_a_wait_may_be_longer_than_a_system_call_takes() -> None:
    """For example, a job may take a year."""
    launcher = LocalLauncher()
    launcher.open(Reports())
    try:
        launcher.wake()
        assert launcher.listen(1e9)
    finally:
        launcher.close(stop=True)
    assert not launcher.listen(None), "it is closed"
    launcher.wake()
