"""No process of a worker survives the kill of the worker's ancestors."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.launchers.containment.containment_settings import ContainmentSettings, Mode
from tests.integration.launchers.conftest import (
    IN_NAMESPACE,
    KillableLauncher,
    Stage,
    alive_escapees,
    all_escaped,
    escapees,
    open_stage,
    start_escapees,
)

pytestmark = pytest.mark.slow


def test_nothing_escapes_a_killed_shim(contained: Any, until: Callable[..., None]) -> None:
    start_escapees(contained, until, "stay")
    os.kill(contained.shim(), 9)
    assert contained.reports.exit("a").ended_by is EndedBy.LOST
    assert alive_escapees(contained.directory) == []


@pytest.mark.parametrize("other", ["spawner", "keeper"])
def test_nothing_escapes_a_shim_that_is_killed_with_what_stands_above_it(
    contained: Any, until: Callable[..., None], other: str
) -> None:
    start_escapees(contained, until, "stay")
    contained.kill("shim", other)
    ended = contained.reports.exit("a")
    assert ended.ended_by is EndedBy.LOST
    assert "may remain" not in ended.error
    assert alive_escapees(contained.directory) == []


@pytest.mark.parametrize("other", ["spawner", "keeper"])
def test_nothing_escapes_a_shim_that_is_killed_later_than_what_stood_above_it(
    tmp_path: Path, until: Callable[..., None], other: str
) -> None:
    stage = open_stage(tmp_path, ContainmentSettings(mode=Mode.SUBREAPER))
    start_escapees(stage, until, "stay")
    shim, keeper = stage.shim(), stage.launcher.keeper_pid
    stage.kill(other)
    until(lambda: stage.launcher.keeper_pid != keeper)
    assert stage.shell("b", "exit 4").code == 4, "a new spawner forks shims"
    os.kill(shim, 9)
    ended = stage.reports.exit("a")
    assert alive_escapees(tmp_path) == []
    assert ended.ended_by is EndedBy.LOST
    assert len(ended.strays) == 7, "the worker and all its descendants"
    stage.close()


def test_an_end_names_leftover_processes_when_all_above_its_worker_were_killed(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    stage = open_stage(tmp_path, ContainmentSettings(mode=Mode.SUBREAPER))
    stage.start("a", "sh", "-c", "sleep 61 & echo ready; wait")
    until(lambda: stage.is_ready("a"))
    stage.kill("keeper", "spawner", "shim")
    ended = stage.reports.exit("a")
    assert ended.ended_by is EndedBy.LOST
    assert "processes of the worker may remain" in ended.error
    assert "sleep" in " ".join(stray.command for stray in ended.strays)
    stage.close()


@pytest.mark.parametrize("first", [[], ["spawner"], ["keeper"]])
def test_nothing_escapes_a_shim_whose_server_was_killed(
    tmp_path: Path, until: Callable[..., None], first: list[str]
) -> None:
    stage = open_stage(tmp_path, ContainmentSettings(mode=Mode.SUBREAPER))
    doomed = KillableLauncher(stage, "a", Mode.SUBREAPER, *escapees(tmp_path, "stay"))
    until(lambda: all_escaped(tmp_path))
    for name in first:
        doomed.kill(name)
    doomed.kill("server", "shim")
    until(lambda: alive_escapees(tmp_path) == [])
    until(lambda: doomed.running_ancestors() == [])
    assert stage.determine_end("a").ended_by is EndedBy.LOST
    stage.close()


@pytest.mark.parametrize("mode", IN_NAMESPACE)
def test_in_a_namespace_all_die_with_the_shim_even_when_nobody_else_is_left(
    tmp_path: Path, mode: Mode, until: Callable[..., None]
) -> None:
    stage = open_stage(tmp_path, ContainmentSettings(mode=mode))
    start_escapees(stage, until, "stay")
    shim = stage.shim()
    stage.close(stop=False)
    os.kill(shim, 9)
    until(lambda: alive_escapees(tmp_path) == [])


#: Program that drops its marker and leaves its session, so that only its parent identifies it.
MOVING_TARGET = """
import os, signal, sys, time
if len(sys.argv) == 3: os.execve(sys.executable, [sys.executable, "-S", *sys.argv, "again"], {})
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): time.sleep(float(sys.argv[2])); os._exit(0)
os.setsid()
end = time.monotonic() + 60  # also if a test fails
beat = os.open(f"beat-{sys.argv[1]}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while time.monotonic() < end:
    os.write(beat, b".")
    time.sleep(0.0001)
    if os.fork(): os._exit(0)
"""


def start_moving_target(stage: Stage, until: Callable[..., None], name: str, seconds: str) -> None:
    """Start a worker that ends after a while. It leaves a process that forks itself repeatedly."""
    (stage.directory / "moving.py").write_text(MOVING_TARGET)
    stage.start(name, sys.executable, "-S", str(stage.directory / "moving.py"), name, seconds)
    until((stage.directory / f"beat-{name}").exists)


def test_a_process_that_forks_itself_anew_is_caught(
    contained: Any, until: Callable[..., None]
) -> None:
    start_moving_target(contained, until, "a", "0.1")
    ended = contained.reports.exit("a")
    assert ended.code == 0 and ended.error == ""
    assert alive_escapees(contained.directory) == []


def test_a_killed_shim_leaves_no_process_that_forks_itself_anew(
    contained: Any, until: Callable[..., None]
) -> None:
    for number, killed in enumerate((["shim"], ["shim", "spawner"], ["shim", "keeper"])):
        start_moving_target(contained, until, str(number), "60")
        contained.kill(*killed)
        assert contained.reports.exit(str(number)).ended_by is EndedBy.LOST
    assert alive_escapees(contained.directory) == []
