"""kill -9 of shims, the spawner, and the server, and the resulting outcomes."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.launchers.containment.containment_settings import Mode
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.local import dead_shims
from orchestrator.system import process_table
from tests.integration.launchers.conftest import KillableLauncher

GATE = "echo ready; while [ ! -e gate ]; do sleep 0.02; done; echo done; exit 5"


def test_a_killed_shim_is_a_lost_attempt_with_a_tombstone(stage: Any) -> None:
    stage.start("a", "sleep", "60")
    worker = stage.reports.pid("a")
    os.kill(stage.shim_of("a"), 9)
    ended = stage.reports.exit("a")
    assert ended.ended_by is EndedBy.LOST and ended.code is None
    assert process_table.start_ticks(worker) is None
    assert [stray.command for stray in ended.strays] in (["sleep"], ["sleep 60"])
    assert exit_record.attempt_state(str(stage.directory / "a.json")) == exit_record.EndedAttempt(
        exit=ended
    )


def test_a_killed_idle_shim_is_replaced(stage: Any) -> None:
    stage.start("a", "sh", "-c", "sleep 0.3")
    shim = stage.shim_of("a")
    stage.reports.exit("a")
    os.kill(shim, 9)
    for name in "bcd":
        ended = stage.shell(name, "exit 4")
        if ended.ended_by is EndedBy.EXIT:
            assert ended.code == 4


def test_shims_outlive_the_spawner_and_a_new_one_serves(
    stage: Any, until: Callable[..., None]
) -> None:
    stage.start("a", "sh", "-c", GATE)
    stage.reports.pid("a")
    old = stage.launcher.keeper_pid
    stage.kill("spawner")
    until(lambda: stage.launcher.keeper_pid != old)
    assert stage.shell("b", "exit 3").code == 3
    (stage.directory / "gate").touch()
    assert stage.reports.exit("a").code == 5


def test_what_a_killed_spawner_was_asked_for_is_started_by_the_next(stage: Any) -> None:
    spawner = stage.spawner
    os.kill(spawner, signal.SIGSTOP)
    for name in "abc":
        stage.start(name, "sh", "-c", "echo once >> ran; exit 6")
    stage.start("d", "sleep", "60")
    stage.stop("d", "cancel", "user")
    os.kill(spawner, signal.SIGKILL)
    assert [stage.reports.exit(name).code for name in "abc"] == [6, 6, 6]
    assert stage.reports.exit("d").stopped_by == "user"
    assert (stage.directory / "ran").read_text() == "once\n" * 3


def test_a_start_in_the_moment_of_the_spawner_s_death_succeeds(stage: Any) -> None:
    for number in range(5):
        os.kill(stage.spawner, signal.SIGKILL)
        names = [f"{number}{letter}" for letter in "ab"]
        for name in names:
            stage.start(name, "sh", "-c", "exit 6")
        assert [stage.reports.exit(name).code for name in names] == [6, 6]


def test_a_shim_that_dies_after_its_spawner_leaves_nothing_marked(
    stage: Any, until: Callable[..., None]
) -> None:
    stage.start("a", "sh", "-c", "setsid sleep 60 & sleep 60")
    shim = stage.shim_of("a")
    until(lambda: len(process_table.marked(stage.id("a"))) == 3)
    old = stage.launcher.keeper_pid
    stage.kill("spawner")
    until(lambda: stage.launcher.keeper_pid != old)
    os.kill(shim, 9)
    ended = stage.reports.exit("a")
    assert ended.ended_by is EndedBy.LOST and len(ended.strays) == 3
    assert process_table.marked(stage.id("a")) == []


def test_the_spawner_s_report_counts_even_if_it_is_read_before_the_end_of_the_shim_s_socket(
    stage: Any, until: Callable[..., None]
) -> None:
    stage.start("a", "sh", "-c", "setsid sleep 60 & sleep 60")
    shim = stage.shim_of("a")
    until(lambda: len(process_table.marked(stage.id("a"))) == 3)

    with stage.pause_listening():
        os.kill(shim, 9)
        until(lambda: process_table.marked(stage.id("a")) == [])
        until(lambda: stage.serve_spawner_first(stage.id("a")))

    ended = stage.reports.exit("a")
    assert ended.ended_by is EndedBy.LOST and len(ended.strays) == 3


def test_a_running_attempt_is_adopted_and_its_end_is_reported(stage: Any) -> None:
    launch = stage.start("a", "sh", "-c", GATE)
    stage.reports.pid("a")
    stage.reopen()
    assert isinstance(exit_record.attempt_state(launch.exit_path), exit_record.LivingShim)
    assert stage.adopt("a")
    (stage.directory / "gate").touch()
    ended = stage.reports.exit("a")
    assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 5)
    assert stage.log("a") == b"ready\ndone\n"


def test_an_adopted_attempt_can_be_stopped(stage: Any, until: Callable[..., None]) -> None:
    stage.start("a", "sh", "-c", "trap '' TERM; echo ready; sleep 60; sleep 60", grace=0.2)
    stage.reports.pid("a")
    until(lambda: stage.is_ready("a"))
    stage.reopen()
    assert stage.adopt("a")
    stage.stop("a", "timeout", "max_wall_seconds")
    ended = stage.reports.exit("a")
    assert (ended.ended_by, ended.stopped_by) == (EndedBy.TIMEOUT, "max_wall_seconds")
    assert ended.signal == 9


def test_the_clock_of_an_adopted_attempt_can_stand(stage: Any) -> None:
    # Long, because a loaded machine reopens the launcher slowly.
    stage.start("a", "sleep", "60", timeout=4.0)
    stage.reports.pid("a")
    stage.reopen()
    assert stage.adopt("a")
    stage.waiting("a", True)
    time.sleep(4.5)
    assert "a" not in stage.reports.exits
    stage.waiting("a", False)
    assert stage.reports.exit("a").ended_by is EndedBy.TIMEOUT


def test_an_adopted_attempt_whose_shim_is_killed_is_lost(stage: Any) -> None:
    stage.start("a", "sh", "-c", "setsid sleep 60 & sleep 60")
    stage.reports.pid("a")
    shim = stage.shim_of("a")
    stage.reopen()
    assert stage.adopt("a")
    os.kill(shim, 9)
    assert stage.reports.exit("a").ended_by is EndedBy.LOST
    assert process_table.marked(stage.id("a")) == []
    assert not stage.adopt("a")


def test_what_has_ended_or_never_began_is_not_adopted(stage: Any) -> None:
    stage.shell("a", "true")
    assert not stage.adopt("a")
    assert not stage.adopt("b")


def test_work_survives_a_killed_server(stage: Any, until: Callable[..., None]) -> None:
    doomed = KillableLauncher(stage, "a", Mode.SUBREAPER, "sh", "-c", GATE)
    doomed.kill("server")
    exit_path = str(stage.directory / "a.json")
    state = exit_record.attempt_state(exit_path)
    assert isinstance(state, exit_record.LivingShim)
    assert stage.adopt("a")
    assert doomed.running_ancestors() == ["keeper", "spawner", "shim"], (
        "the ancestors wait for the running worker"
    )
    (stage.directory / "gate").touch()
    assert stage.reports.exit("a").code == 5
    until(lambda: doomed.running_ancestors() == [])


def test_idle_shims_end_with_their_server(stage: Any, until: Callable[..., None]) -> None:
    stage.start("a", "sh", "-c", "sleep 0.2")
    shim = stage.shim_of("a")
    stage.reports.exit("a")
    stage.close(stop=False)
    until(lambda: process_table.start_ticks(shim) is None)


def test_an_end_that_cannot_be_settled_is_asked_for_again(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, a shim dies while the disk is full, so that no tombstone can be written."""
    refusals = [OSError(28, "No space left on device")] * 2

    def determine_end(*arguments: Any, **more: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return dead_shims.determine_end(*arguments, **more)

    monkeypatch.setattr("orchestrator.launchers.local.local_launcher.determine_end", determine_end)
    stage.start("a", "sleep", "60")
    stage.reports.pid("a")
    os.kill(stage.shim_of("a"), 9)
    assert stage.reports.exit("a").ended_by is EndedBy.LOST
    assert not refusals


def test_an_end_that_takes_long_to_find_out_holds_up_no_other(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def determine_end(*arguments: Any, **more: Any) -> Any:
        assert go_on.wait(60)
        return dead_shims.determine_end(*arguments, **more)

    monkeypatch.setattr("orchestrator.launchers.local.local_launcher.determine_end", determine_end)
    stage.start("a", "sleep", "60")
    stage.reports.pid("a")
    os.kill(stage.shim_of("a"), 9)
    assert stage.shell("b", "exit 3").code == 3
    assert "a" not in stage.reports.exits
    go_on.set()
    assert stage.reports.exit("a").ended_by is EndedBy.LOST
