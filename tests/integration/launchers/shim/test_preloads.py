"""Preloaded launches: a busy shim starts them, returns them, or never starts them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.local import shim_pool
from tests.integration.launchers.conftest import HANG_SECONDS, Stage, wait_until

Until = Callable[..., None]


@pytest.fixture
def shim(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the pid of an idle shim. It serves the next launch, and returns no launch soon."""
    monkeypatch.setattr(shim_pool, "PRELOAD_SECONDS", HANG_SECONDS)
    stage.run("warm", "true")
    return stage.shim()


@contextmanager
def batched_messages(stage: Stage) -> Iterator[None]:
    """Delay all messages to the idle shim until the end of the block. Then send all of them at
    once.
    """
    channel = stage.launcher._pool._idle[-1]._channel
    channel.flush = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        with stage.launcher._lock:  # The listening thread also flushes.
            del channel.flush  # type: ignore[method-assign]
            channel.flush()


def preload(stage: Stage, name: str, *argv: str, **changes: object) -> None:
    assert stage.launcher.preload(stage.launch(name, *argv, **changes))


def recording_command(stage: Stage, name: str) -> tuple[str, ...]:
    """Return a command that records its start and its end in a file that all commands share."""
    ran = stage.directory / "ran"
    return ("sh", "-c", f"echo {name} >> {ran}; echo {name} >> {ran}")


def ran(stage: Stage) -> list[str]:
    path = stage.directory / "ran"
    return path.read_text().split() if path.exists() else []


def test_a_shim_begins_preloaded_launches_one_after_the_other(stage: Stage, shim: int) -> None:
    with batched_messages(stage):
        stage.start("a", *recording_command(stage, "a"))
        for name in "bcd":
            preload(stage, name, *recording_command(stage, name))

    exits = [stage.reports.exit(name) for name in "abcd"]

    assert [each.code for each in exits] == [0] * 4
    assert ran(stage) == list("aabbccdd"), "attempts run one at a time, in order"
    began = [stage.reports.begun_at[name] for name in "bcd"]
    assert began == [each.started_at for each in exits[1:]]
    assert all(one.ended_at <= other for one, other in zip(exits, began, strict=False))
    assert stage.reports.back == [] and stage.shim() == shim


def test_nothing_is_preloaded_while_no_shim_is_busy(stage: Stage, shim: int) -> None:
    assert not stage.launcher.preload(stage.launch("a", "true"))


def test_launches_behind_a_long_worker_are_returned_and_run_elsewhere(
    stage: Stage, shim: int, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim_pool, "PRELOAD_SECONDS", 0.05)
    with batched_messages(stage):
        stage.start("a", "sleep", "60")
        for name in "bc":
            preload(stage, name, *recording_command(stage, name))

    until(lambda: stage.reports.back == ["b", "c"])
    assert not stage.launcher.preload(stage.launch("d", "true")), "the shim is slow"
    for name in "bc":
        assert stage.run(name, *recording_command(stage, name)).code == 0
    assert sorted(ran(stage)) == list("bbcc")
    stage.stop("a", "cancel", "user")
    assert stage.reports.exit("a").ended_by is EndedBy.CANCEL


@pytest.mark.parametrize("by", ["stop", "withdraw_launch"])
def test_a_preloaded_launch_that_is_stopped_or_taken_back_never_begins(
    stage: Stage, shim: int, by: str
) -> None:
    with batched_messages(stage):
        stage.start("a", "true")
        for name in "bcd":
            preload(stage, name, *recording_command(stage, name))
        if by == "stop":
            stage.stop("c", "cancel", "user")
        else:
            stage.launcher.withdraw_launch(stage.id("c"))

    assert stage.reports.exit("d").code == 0
    assert (ran(stage), stage.reports.back) == (list("bbdd"), ["c"])
    assert stage.run("c", *recording_command(stage, "c")).code == 0, "the attempt may still run"


def test_a_launch_that_has_begun_is_not_taken_back(stage: Stage, shim: int, until: Until) -> None:
    with batched_messages(stage):
        stage.start("a", "true")
        preload(stage, "b", "sleep", "60")
    until(lambda: "b" in stage.reports.begun_at)

    stage.launcher.withdraw_launch(stage.id("b"))
    stage.stop("a", "cancel", "user")
    stage.stop("b", "cancel", "someone")

    assert stage.reports.exit("b").stopped_by == "someone"
    assert stage.reports.exit("a").ended_by is EndedBy.EXIT
    assert stage.reports.back == []


def test_a_launch_that_cannot_start_does_not_stop_those_behind_it(stage: Stage, shim: int) -> None:
    with batched_messages(stage):
        stage.start("a", "true")
        preload(stage, "b", "/does/not/exist")
        preload(stage, "c", *recording_command(stage, "c"))

    assert stage.reports.exit("b").ended_by is EndedBy.SPAWN_FAILED
    assert stage.reports.exit("c").code == 0


def test_a_timeout_counts_from_the_start_of_the_launch(stage: Stage, shim: int) -> None:
    with batched_messages(stage):
        stage.start("a", "true")
        preload(stage, "b", "sleep", "60", timeout=0.3)

    ended = stage.reports.exit("b")

    assert ended.ended_by is EndedBy.TIMEOUT
    assert ended.ended_at - ended.started_at >= 0.3


def test_a_launch_that_comes_just_after_an_end_begins_at_once(stage: Stage, shim: int) -> None:
    stage._listener.__exit__(None, None, None)  # The end of the first attempt is not read yet.
    stage.start("a", "true")
    path = Path(stage.launch("a").exit_path)
    wait_until(path.exists)
    preload(stage, "b", *recording_command(stage, "b"))
    preload(stage, "c", *recording_command(stage, "c"))
    while "c" not in stage.reports.exits:
        stage.launcher.listen(1.0)
    stage._listener.start()
    stage._listener.__enter__()

    assert [stage.reports.exit(name).code for name in "abc"] == [0] * 3
    assert set(stage.reports.begun_at) == {"b", "c"}
    assert ran(stage) == list("bbcc")


def test_shims_get_preloaded_launches_before_events_gather(stage: Stage, shim: int) -> None:
    stage._listener.__exit__(None, None, None)
    stage.start("a", *recording_command(stage, "a"))
    preload(stage, "b", *recording_command(stage, "b"))

    stage.launcher.gather(0.01)

    wait_until(lambda: ran(stage) == list("aabb"))
    assert set(stage.reports.exits) == {"warm"}, (
        "no event is reported before the next call of listen"
    )
    while "b" not in stage.reports.exits:
        stage.launcher.listen(1.0)


def test_launches_at_a_killed_shim_never_begin(stage: Stage, shim: int) -> None:
    with batched_messages(stage):
        stage.start("a", "sh", "-c", "kill -9 $PPID; sleep 60")
        for name in "bc":
            preload(stage, name, *recording_command(stage, name))

    assert stage.reports.exit("a").ended_by is EndedBy.LOST
    for name in "bc":
        ended = stage.reports.exit(name)
        assert (ended.ended_by, ended.cause) == (EndedBy.LOST, ExitCause.NEVER_BEGAN)
    assert ran(stage) == []


def test_a_launch_whose_worker_kills_the_shim_is_lost(stage: Stage, shim: int) -> None:
    with batched_messages(stage):
        stage.start("a", "true")
        preload(stage, "b", "sh", "-c", "kill -9 $PPID; sleep 60")
        preload(stage, "c", *recording_command(stage, "c"))

    assert stage.reports.exit("b").cause is ExitCause.SHIM_DIED
    assert stage.reports.exit("c").cause is ExitCause.NEVER_BEGAN


def test_a_killed_spawner_costs_no_launch(stage: Stage, shim: int) -> None:
    with batched_messages(stage):
        stage.start("a", "true")
        for name in "bc":
            preload(stage, name, *recording_command(stage, name))
        stage.kill("spawner")

    assert [stage.reports.exit(name).code for name in "abc"] == [0] * 3
    assert ran(stage) == list("bbcc")


def test_launches_of_an_exited_server_never_begin(stage: Stage, shim: int, until: Until) -> None:
    with batched_messages(stage):
        stage.start("a", "sh", "-c", "echo ready; until [ -e go ]; do sleep 0.02; done")
        preload(stage, "b", *recording_command(stage, "b"))
    stage.reopen()

    until(lambda: stage.is_ready("a"))
    assert stage.adopt("a")
    assert not stage.adopt("b")
    (stage.directory / "go").touch()
    assert stage.reports.exit("a").code == 0
    settled = stage.determine_end("b")
    assert settled.cause is ExitCause.NEVER_BEGAN
    assert settled.error.endswith(f"retry {stage.id('b').replace('/', ' ')}")
    assert ran(stage) == []


def test_a_stopped_server_leaves_nothing(stage: Stage, shim: int) -> None:
    with batched_messages(stage):
        stage.start("a", "sleep", "60")
        preload(stage, "b", *recording_command(stage, "b"))
    stage.close(stop=True)

    assert stage.reports.exit("a").cause is ExitCause.SHUTDOWN
    assert stage.reports.back == ["b"] and ran(stage) == []


def test_launches_behind_a_worker_that_leaves_a_process_are_not_lost(
    stage: Stage, shim: int, until: Until
) -> None:
    with batched_messages(stage):
        stage.start("a", "sh", "-c", "setsid sleep 60 & exit 0")
        preload(stage, "b", *recording_command(stage, "b"))

    assert stage.reports.exit("a").strays
    until(lambda: stage.reports.back or "b" in stage.reports.exits)
    if stage.reports.back:
        stage.run("b", *recording_command(stage, "b"))
    assert ran(stage) == ["b", "b"]


@pytest.mark.parametrize("name", ["b", "c"])
def test_a_claim_that_exists_refuses_a_preloaded_launch(stage: Stage, shim: int, name: str) -> None:
    exit_record.mark_lost(str(stage.directory / f"{name}.json"), "given up")
    with batched_messages(stage):
        stage.start("a", "true")
        for each in "bc":
            preload(stage, each, *recording_command(stage, each))

    assert stage.reports.exit(name).error == "given up"
    other = "c" if name == "b" else "b"
    assert stage.reports.exit(other).code == 0
    assert ran(stage) == [other, other]
