"""A restarted server reads the records of attempts, and writes tombstones for lost attempts."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit, LeftoverProcess
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.exit_record.run_file import LockRefused, RunFile, run_path
from orchestrator.system import process_table
from tests.integration.launchers.conftest import wait_until

ENDED = {"attempt": "a", "ended_by": "exit", "code": 7, "strays": [{"pid": 3, "command": "x"}]}


@pytest.fixture
def exit_path(tmp_path: Path) -> str:
    return str(tmp_path / "1.exit.json")


def test_an_attempt_without_a_start_can_be_started_until_its_tombstone_is_written(
    exit_path: str,
) -> None:
    assert exit_record.attempt_state(exit_path) is exit_record.Unfinished.NEVER_STARTED
    ended = exit_record.mark_lost(exit_path, "given up")
    assert ended is not None and (ended.ended_by, ended.error) == (EndedBy.LOST, "given up")
    with pytest.raises(LockRefused, match="has ended"):
        RunFile.acquire(exit_path)
    assert not os.path.exists(run_path(exit_path))


def test_a_tombstone_may_be_asked_for_twice(exit_path: str) -> None:
    first = exit_record.mark_lost(exit_path, "given up", (LeftoverProcess(pid=1, command="x"),))
    assert exit_record.mark_lost(exit_path, "another word") == first
    assert exit_record.attempt_state(exit_path) == exit_record.EndedAttempt(
        exit=first or Exit(ended_by=EndedBy.EXIT)
    )


def test_a_held_attempt_is_running_and_cannot_be_buried(exit_path: str) -> None:
    lock = RunFile.acquire(exit_path)
    lock.write_holder("a")
    lock.add_worker(12345)
    ticks = process_table.start_ticks(os.getpid())
    assert exit_record.attempt_state(exit_path) == exit_record.LivingShim(
        shim_pid=os.getpid(), start_ticks=ticks or 0
    )
    assert exit_record.mark_lost(exit_path, "given up") is None
    lock.release()
    assert exit_record.attempt_state(exit_path) is exit_record.Unfinished.SHIM_EXITED


def test_a_record_that_was_written_but_not_renamed_counts(exit_path: str) -> None:
    # Shorter than the previous holder's line, so that a part of that line remains.
    Path(run_path(exit_path)).write_text(json.dumps(ENDED) + '\nboot_id": "x"}\n{"worker": 5}\n')
    state = exit_record.attempt_state(exit_path)
    assert isinstance(state, exit_record.EndedAttempt)
    assert (state.exit.code, state.exit.strays) == (7, (LeftoverProcess(pid=3, command="x"),))
    assert json.loads(Path(exit_path).read_text()) == ENDED
    assert not os.path.exists(run_path(exit_path))


NO_RECORDS = (b"", b"\0\0\0", b'{"ended_by": "ex', b'{"shim": 1}\n', b"[]", b"[" * 200_000)


@pytest.mark.parametrize("content", NO_RECORDS, ids=range(len(NO_RECORDS)))
def test_a_half_written_record_is_a_dead_attempt(exit_path: str, content: bytes) -> None:
    Path(run_path(exit_path)).write_bytes(content)
    assert exit_record.attempt_state(exit_path) is exit_record.Unfinished.SHIM_EXITED
    ended = exit_record.mark_lost(exit_path, "lost")
    assert ended is not None and ended.ended_by is EndedBy.LOST
    assert exit_record.read_exit(exit_path) == ended


def test_a_record_that_is_garbage_is_an_error_with_its_path(exit_path: str) -> None:
    Path(exit_path).write_bytes(b"garbage")
    state = exit_record.attempt_state(exit_path)
    assert isinstance(state, exit_record.EndedAttempt)
    assert state.exit.ended_by is EndedBy.LOST and exit_path in state.exit.error
    assert Path(exit_path).read_bytes() == b"garbage"


FORGED: list[dict[str, object]] = [
    {"code": "abc"},
    {"code": True},
    {"signal": 2**40},
    {"error": ["x"]},
    {"started_at": "x"},
    {"ended_at": float("nan")},
    {"ended_at": 1e308},
    {"ended_at": -1.0},
    {"cpu_seconds": None},
    {"cpu_seconds": float("inf")},
    {"peak_memory_bytes": 2**70},
    {"log_bytes": 0.5},
    {"log_lost": "no"},
    {"strays": "abc"},
    {"strays": [{"pid": "x", "command": "x"}]},
    {"ended_by": "magic"},
]


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_a_record_that_a_worker_wrote_is_no_exit(exit_path: str, forged: dict[str, object]) -> None:
    Path(exit_path).write_text(json.dumps({**ENDED, **forged}))
    ended = exit_record.read_exit(exit_path)
    assert ended is not None
    assert (ended.ended_by, ended.strays) == (EndedBy.LOST, ())
    assert "is not an exit record" in ended.error


def test_a_record_beside_a_claim_that_is_held_is_not_believed(exit_path: str) -> None:
    lock = RunFile.acquire(exit_path)
    lock.write_holder("a")
    Path(exit_path).write_text(json.dumps({**ENDED, "code": 0}))
    assert isinstance(exit_record.attempt_state(exit_path), exit_record.LivingShim)
    lock.publish(json.dumps(ENDED).encode())
    state = exit_record.attempt_state(exit_path)
    assert isinstance(state, exit_record.EndedAttempt)
    assert state.exit.code == 7


def test_half_a_character_in_a_record_is_replaced(exit_path: str) -> None:
    Path(exit_path).write_text(json.dumps({**ENDED, "error": "a\ud800b"}))
    ended = exit_record.read_exit(exit_path)
    assert ended is not None
    assert ended.error == "a?b"


def test_a_lock_without_a_name_in_it_is_not_taken_for_dead(exit_path: str) -> None:
    descriptor = os.open(run_path(exit_path), os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    named = threading.Timer(0.3, RunFile(os.dup(descriptor), exit_path).write_holder, ("a",))
    named.start()
    assert isinstance(exit_record.attempt_state(exit_path), exit_record.LivingShim)
    named.join()
    os.close(descriptor)


def test_a_lock_of_another_process_is_waited_for_until_its_holder_has_ended(stage: Any) -> None:
    path = stage.launch("a").exit_path
    Path(run_path(path)).write_text('{"shim": 1, "shim_start": 0, "boot_id": "x"}')
    code = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-S", "-c", code, run_path(path)]) as holder:
        wait_until(lambda: process_table.lock_holder(run_path(path)) == holder.pid)
        assert stage.adopt("a")
        holder.kill()
    assert stage.reports.exit("a").ended_by is EndedBy.LOST


def _fifo(path: str) -> None:
    os.mkfifo(path)


def _link(path: str) -> None:
    Path(path).symlink_to(os.devnull)


def _directory(path: str) -> None:
    Path(path, "in").mkdir(parents=True)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("put", [_fifo, _link, _directory])
def test_what_a_worker_has_put_in_place_of_its_claim_is_set_aside(
    stage: Any, put: Callable[[str], None]
) -> None:
    path = stage.launch("a").exit_path
    put(run_path(path))
    assert not stage.adopt("a")
    ended = stage.determine_end("a")
    assert ended.ended_by is EndedBy.LOST and ended == exit_record.read_exit(path)
    assert [each.name for each in stage.directory.glob("a.run*")] == ["a.run.foreign"]


@pytest.mark.timeout(20)
def test_an_input_that_is_a_fifo_is_refused(stage: Any) -> None:
    os.mkfifo(stage.directory / "question")
    ended = stage.shell("a", "cat", stdin=str(stage.directory / "question"))
    assert ended.ended_by is EndedBy.SPAWN_FAILED and "question is a FIFO" in ended.error


def test_a_claim_that_was_buried_before_it_had_the_lock_is_refused(exit_path: str) -> None:
    late = os.open(run_path(exit_path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    exit_record.mark_lost(exit_path, "given up")
    with pytest.raises(LockRefused, match="declared this attempt lost"):
        RunFile._locked(late, exit_path, lambda *_: False)


def test_of_many_who_start_or_bury_an_attempt_one_wins(tmp_path: Path) -> None:
    for number in range(50):
        path = str(tmp_path / f"{number}.json")
        outcomes = _race(path, 2)
        winners = [outcome for outcome in outcomes if outcome != "refused"]
        assert "started" not in winners or winners.count("buried") == 0, (number, outcomes)
        assert winners.count("started") <= 1, (number, outcomes)


def _race(path: str, each: int) -> list[str]:
    outcomes: list[str] = []
    gate = threading.Barrier(each * 2)

    def start() -> None:
        gate.wait()
        try:
            RunFile.acquire(path).write_holder("a")
            outcomes.append("started")
        except LockRefused:
            outcomes.append("refused")

    def bury() -> None:
        gate.wait()
        outcomes.append("buried" if exit_record.mark_lost(path, "x") else "refused")

    threads = [threading.Thread(target=act) for act in (start, bury) for _ in range(each)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_shim_that_comes_late_finds_the_tombstone(stage: Any) -> None:
    launch = stage.launch("a", "touch", "ran")
    exit_record.mark_lost(launch.exit_path, "given up")
    stage.launcher.start(launch)
    assert stage.reports.exit("a").ended_by is EndedBy.LOST
    assert not (stage.directory / "ran").exists()
