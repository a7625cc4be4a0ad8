"""Ends of workers that a shutdown, a pause, or a cancel stopped, with every kind of record."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.system import process_table
from tests.faults.site import STORE, store_settings
from tests.faults.zygote import Zygote
from tests.integration.site import Answer, ServerProcess, shell, until
from tests.support.examples import nightly

pytestmark = pytest.mark.slow
#: Longer than a restart, so that a worker that ignores SIGTERM outlives its server.
LONG_GRACE = 60


@dataclass
class Stage:
    """A server with a job of one worker without retries.

    The first attempt notices SIGTERM, and ends with ``code`` when it may. The second one succeeds
    at once.
    """

    server: ServerProcess
    folder: Path
    code: int
    job: str = field(default="", init=False)

    def begin(self) -> None:
        at = self.folder
        command = (
            f"[ -e {at}/pid ] && exit 0; trap 'touch {at}/stopping' TERM; echo $$ > {at}/pid; "
            f"touch {at}/ready; until [ -e {at}/release ]; do sleep 0.02; done; exit {self.code}"
        )
        self.job = self.server.submit("x", [shell(command, retries=0)])
        until((at / "ready").exists, "the worker runs")

    def until_stopping(self) -> None:
        until((self.folder / "stopping").exists, "the worker was asked to stop")

    def release(self) -> None:
        (self.folder / "release").touch()

    def terminate(self) -> None:
        assert self.server.process is not None
        self.server.process.send_signal(signal.SIGTERM)

    def wait_for_server(self) -> None:
        assert self.server.process is not None
        self.server.process.wait(60)

    def kill_shim(self) -> None:
        worker = process_table.look_up(int((self.folder / "pid").read_text()))
        assert worker is not None
        os.kill(worker.parent, signal.SIGKILL)

    def row(self) -> Answer:
        [row] = self.server.wait(self.job)["results"]["tasks"]
        return dict(row)


MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage(tmp_path: Path, zygote: Zygote) -> Iterator[MakeStage]:
    stages: list[Stage] = []
    databases = ExitStack()

    def make(code: int = 0, grace: float = LONG_GRACE, **workers: Any) -> Stage:
        folder = tmp_path / "server"
        changes = {
            "workers": {"max_workers": 2, "grace_seconds": grace, "max_retries": 0, **workers},
            **store_settings(STORE, folder, databases),
        }
        stages.append(Stage(ServerProcess(folder, changes, zygote), tmp_path, code))
        stages[-1].server.start()
        stages[-1].begin()
        return stages[-1]

    yield make
    for stage in stages:
        stage.release()
        stage.server.stop()
    databases.close()


def outcome(stage: Stage) -> tuple[str, int]:
    row = stage.row()
    return row["status"], row["attempts"]


#: Exit code 0 means finished work. Any other exit code uses no retry.
ENDS = [(0, ("success", 1)), (3, ("success", 2))]


@pytest.mark.parametrize("adopted", [True, *nightly(False)], ids=["adopted", "own"])
@pytest.mark.parametrize(("code", "expected"), [ENDS[0], *nightly(ENDS[1])])
def test_a_worker_that_ends_before_its_stopped_server(
    make_stage: MakeStage, code: int, expected: tuple[str, int], adopted: bool
) -> None:
    stage = make_stage(code)
    if adopted:
        stage.server.kill()
        stage.server.start()

    stage.terminate()
    stage.until_stopping()
    stage.release()
    stage.wait_for_server()
    stage.server.start()

    assert outcome(stage) == expected


@pytest.mark.parametrize("adopted", [True, *nightly(False)], ids=["adopted", "own"])
@pytest.mark.parametrize(("code", "expected"), [ENDS[1], *nightly(ENDS[0])])
def test_a_stopping_worker_ends_under_the_next_server(
    make_stage: MakeStage, code: int, expected: tuple[str, int], adopted: bool
) -> None:
    stage = make_stage(code)
    if adopted:
        stage.server.kill()
        stage.server.start()

    stage.terminate()
    stage.until_stopping()
    stage.terminate()
    stage.wait_for_server()
    stage.server.start()
    assert stage.server.status(stage.job)["status"] == "running"
    stage.release()

    assert outcome(stage) == expected


def test_a_worker_that_ends_while_no_server_runs(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.terminate()
    stage.until_stopping()
    stage.terminate()
    stage.wait_for_server()
    stage.release()
    record = stage.server.directory(stage.job) / "attempts" / "worker_1.1.exit.json"
    until(record.exists, "its end is recorded")
    stage.server.start()

    assert outcome(stage) == ("success", 1)


def test_a_worker_that_is_killed_after_its_grace_time_runs_again(make_stage: MakeStage) -> None:
    stage = make_stage(grace=0.5)
    stage.terminate()
    stage.wait_for_server()
    stage.server.start()

    assert outcome(stage) == ("success", 2)


def test_a_worker_that_is_killed_after_its_grace_time_under_the_next_server_runs_again(
    make_stage: MakeStage,
) -> None:
    # The server starts within this time, unless the machine is very busy: the result is the same.
    stage = make_stage(grace=5)
    stage.terminate()
    stage.until_stopping()
    stage.terminate()
    stage.wait_for_server()
    stage.server.start()

    assert outcome(stage) == ("success", 2)


@pytest.mark.parametrize("adopted", [True, *nightly(False)], ids=["adopted", "own"])
def test_a_worker_whose_shim_is_killed_during_the_shutdown_runs_again(
    make_stage: MakeStage, adopted: bool
) -> None:
    stage = make_stage()
    if adopted:
        stage.server.kill()
        stage.server.start()

    stage.terminate()
    stage.until_stopping()
    stage.kill_shim()
    stage.wait_for_server()
    stage.server.start()

    assert outcome(stage) == ("success", 2)


def test_a_timeout_before_the_shutdown_stays_a_timeout(make_stage: MakeStage) -> None:
    stage = make_stage(default_timeout=1)
    stage.until_stopping()
    stage.terminate()
    stage.release()
    stage.wait_for_server()
    stage.server.start()

    assert outcome(stage) == ("timeout", 1)


@pytest.mark.parametrize(("code", "expected"), ENDS)
def test_a_worker_that_a_pause_stops_during_a_shutdown(
    make_stage: MakeStage, code: int, expected: tuple[str, int]
) -> None:
    stage = make_stage(code)
    stage.server.call("POST", f"/jobs/{stage.job}/pause", {"running": "stop"})
    stage.until_stopping()
    stage.release()
    until(lambda: not stage.server.status(stage.job)["workers"].get("running"), "it has ended")
    stage.server.call("POST", f"/jobs/{stage.job}/resume")

    assert outcome(stage) == expected


def test_a_cancelled_worker_that_ends_with_0_is_cancelled(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.server.call("POST", f"/jobs/{stage.job}/cancel")
    stage.until_stopping()
    stage.release()

    assert outcome(stage) == ("cancelled", 1)


@pytest.mark.parametrize("stop", ["shutdown", *nightly("pause")])
def test_a_cancel_after_another_stop_is_a_cancel(make_stage: MakeStage, stop: str) -> None:
    stage = make_stage()
    if stop == "pause":
        stage.server.call("POST", f"/jobs/{stage.job}/pause", {"running": "stop"})
        stage.until_stopping()
    else:
        stage.terminate()
        stage.until_stopping()
        stage.terminate()
        stage.wait_for_server()
        stage.server.start()
    stage.server.call("POST", f"/jobs/{stage.job}/cancel")
    stage.release()

    assert outcome(stage) == ("cancelled", 1)


def test_a_cancel_before_the_shutdown_is_a_cancel(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.server.call("POST", f"/jobs/{stage.job}/cancel")
    stage.until_stopping()
    stage.terminate()
    stage.release()
    stage.wait_for_server()
    stage.server.start()

    assert outcome(stage) == ("cancelled", 1)
