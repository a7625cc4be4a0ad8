"""Stopping workers: timeouts, SIGTERM and SIGKILL, and processes that resist."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.system import process_table
from tests.integration.launchers.conftest import alive_escapees, start_escapees

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def test_a_stop_is_first_polite(stage: Any, until: Callable[..., None]) -> None:
    script = "trap 'echo saved; exit 3' TERM; echo ready; while :; do sleep 0.02; done"
    stage.start("a", "sh", "-c", script)
    until(lambda: stage.is_ready("a"))
    stage.stop("a", "cancel", "user")
    ended = stage.reports.exit("a")
    assert (ended.ended_by, ended.stopped_by, ended.code) == (EndedBy.CANCEL, "user", 3)
    assert stage.log("a").endswith(b"saved\n")


def test_what_ignores_a_stop_is_killed_after_its_grace(
    stage: Any, until: Callable[..., None]
) -> None:
    stage.start("a", "sh", "-c", STUBBORN, grace=0.4)
    until(lambda: stage.is_ready("a"))
    began = time.monotonic()
    stage.stop("a", "cancel", "user")
    ended = stage.reports.exit("a")
    assert 0.35 < time.monotonic() - began < 30.0
    assert (ended.ended_by, ended.signal) == (EndedBy.CANCEL, 9)


def test_a_stopped_process_is_ended_too(stage: Any) -> None:
    stage.start("a", "sh", "-c", "kill -STOP $$; sleep 60", grace=5.0)
    stage.reports.pid("a")
    stage.stop("a", "cancel", "user")
    assert stage.reports.exit("a").signal == 15


def test_a_second_stop_changes_nothing(stage: Any) -> None:
    stage.start("a", "sh", "-c", STUBBORN, grace=0.3)
    stage.reports.pid("a")
    stage.stop("a", "cancel", "user")
    stage.stop("a", "timeout", "somebody else")
    ended = stage.reports.exit("a")
    assert (ended.ended_by, ended.stopped_by) == (EndedBy.CANCEL, "user")


def test_a_stop_of_an_unknown_attempt_is_ignored(stage: Any) -> None:
    stage.stop("nobody", "cancel", "user")
    assert stage.shell("a", "exit 0").code == 0


def test_a_deadline_ends_a_worker(stage: Any) -> None:
    began = time.monotonic()
    ended = stage.run("a", "sleep", "60", timeout=0.3)
    assert 0.25 < time.monotonic() - began < 30.0
    assert (ended.ended_by, ended.stopped_by) == (EndedBy.TIMEOUT, "timeout (0.3 s)")


def test_a_deadline_in_thirty_years_is_no_trouble(stage: Any) -> None:
    assert stage.run("a", "sleep", "0.3", timeout=1e9).code == 0


def test_the_deadline_stands_while_a_worker_waits(stage: Any) -> None:
    # Long, because a loaded machine reports the wait late.
    stage.start("a", "sleep", "60", timeout=3.0)
    stage.reports.pid("a")
    stage.waiting("a", True)
    time.sleep(3.5)
    assert "a" not in stage.reports.exits
    began = time.monotonic()
    stage.waiting("a", False)
    assert stage.reports.exit("a").ended_by is EndedBy.TIMEOUT
    assert 0.2 < time.monotonic() - began < 30.0


def test_a_background_child_does_not_keep_a_worker_from_ending(stage: Any) -> None:
    began = time.monotonic()
    ended = stage.shell("a", "sleep 30 & sleep 0.2; echo hi")
    assert time.monotonic() - began < 20.0
    assert ended.code == 0 and stage.log("a") == b"hi\n"
    [stray] = ended.strays
    assert stray.command == "sleep 30"
    assert process_table.start_ticks(stray.pid) is None


def test_a_clean_worker_has_no_strays(stage: Any) -> None:
    assert stage.shell("a", "sleep 0.05 & wait; true").strays == ()


def test_secrets_in_the_command_of_a_stray_are_masked(stage: Any) -> None:
    script = "sh -c 'sleep 30; : secret-12345' & true"
    ended = stage.shell("a", script, secrets=("secret-12345",))
    assert ended.strays and "secret-12345" not in str(ended.strays)


def test_nothing_escapes_a_stop(stage: Any, until: Callable[..., None]) -> None:
    start_escapees(stage, until, "stay")
    stage.stop("a", "cancel", "user")
    ended = stage.reports.exit("a")
    assert alive_escapees(stage.directory) == []
    assert ended.ended_by is EndedBy.CANCEL
    assert len(ended.strays) >= 3, "detached processes are named"


def test_nothing_escapes_a_normal_end(stage: Any, until: Callable[..., None]) -> None:
    start_escapees(stage, until, "leave")
    ended = stage.reports.exit("a")
    assert alive_escapees(stage.directory) == []
    assert ended.code == 0 and len(ended.strays) == 6


def test_nothing_escapes_when_the_shim_is_killed(stage: Any, until: Callable[..., None]) -> None:
    start_escapees(stage, until, "stay")
    os.kill(stage.shim_of("a"), 9)
    ended = stage.reports.exit("a")
    assert alive_escapees(stage.directory) == []
    assert ended.ended_by is EndedBy.LOST and len(ended.strays) >= 6


def test_a_stopped_shim_is_resumed(stage: Any) -> None:
    stage.start("a", "sleep", "60", timeout=0.5)
    stage.reports.pid("a")

    os.kill(stage.shim_of("a"), signal.SIGSTOP)

    assert stage.reports.exit("a").ended_by is EndedBy.TIMEOUT


def test_nothing_escapes_a_shim_that_is_stopped_again_and_again(
    stage: Any, until: Callable[..., None]
) -> None:
    start_escapees(stage, until, "stay")
    shim = stage.shim_of("a")

    def is_gone() -> bool:
        with suppress(ProcessLookupError):
            os.kill(shim, signal.SIGSTOP)
        return process_table.start_ticks(shim) is None

    until(is_gone)

    assert stage.reports.exit("a").ended_by is EndedBy.LOST
    assert alive_escapees(stage.directory) == []


def test_a_stopped_spawner_is_resumed(stage: Any) -> None:
    stage.shell("a", "exit 0")
    os.kill(stage.spawner, signal.SIGSTOP)
    names = [f"b{number}" for number in range(3)]

    for name in names:
        stage.start(name, "sh", "-c", "sleep 0.2; exit 3")

    assert [stage.reports.exit(name).code for name in names] == [3, 3, 3]


MOVING_TARGET = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
end = time.monotonic() + 60  # also if a test fails
while time.monotonic() < end:
    time.sleep(0.0001)
    if os.fork(): os._exit(0)
"""


def test_a_process_that_forks_itself_anew_is_caught(stage: Any) -> None:
    ended = stage.run("a", sys.executable, "-S", "-E", "-c", MOVING_TARGET)
    assert ended.code == 0 and ended.strays and ended.error == ""
    assert process_table.marked(stage.id("a")) == []
    assert stage.shell("b", "exit 0").code == 0


def test_processes_of_others_are_never_touched(stage: Any) -> None:
    stranger = subprocess.Popen(["sleep", "30"], start_new_session=True)
    try:
        stage.shell("a", "sleep 30 & true")
        stage.start("b", "sleep", "30")
        stage.reports.pid("b")
        os.kill(stage.shim_of("b"), 9)
        stage.reports.exit("b")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("stop", [True, False])
def test_closing_stops_all_or_leaves_all(
    stage: Any, until: Callable[..., None], stop: bool
) -> None:
    for name in "abc":
        stage.start(name, "sleep", "60")
    pids = [stage.reports.pid(name) for name in "abc"]
    stage.close(stop)
    alive = [pid for pid in pids if process_table.start_ticks(pid)]
    assert alive == ([] if stop else pids)
    if stop:
        assert {stage.reports.exit(name).stopped_by for name in "abc"} == {"shutdown"}
    for pid in alive:
        os.kill(pid, 9)
    until(lambda: all((stage.directory / f"{name}.json").exists() for name in "abc"))
