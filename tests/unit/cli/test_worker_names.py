"""A command that names a worker also accepts the id of the worker's task."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.output.exit_codes import ExitCode
from tests.unit.cli.conftest import Orchestrator
from tests.unit.cli.fake_api import FakeApi

Capture = pytest.CaptureFixture[str]

#: A task, and a task with two candidates.
WORKERS = [
    {"worker_id": "worker_1", "task_id": "parse", "status": "success", "reason": ""},
    {"worker_id": "worker_2", "task_id": "lint", "status": "success", "reason": ""},
    {"worker_id": "worker_3", "task_id": "lint", "status": "success", "reason": ""},
]


@pytest.fixture
def job(served: FakeApi, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert orchestrator("submit", "x") == ExitCode.OK
    workers = [{**each, "child_jobs": []} for each in WORKERS]
    tree = {"job_id": "j1", "status": "completed", "workers": workers}
    monkeypatch.setattr(served.jobs["j1"], "tree", lambda: tree)


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        (("cancel", "j1", "parse"), ("POST", "/j1/workers/worker_1/cancel")),
        (("retry", "j1", "parse"), ("POST", "/j1/workers/worker_1/retry")),
        (("message", "j1", "parse", "hello"), ("POST", "/j1/workers/worker_1/message")),
        (("rollback", "j1", "parse", "--yes"), ("POST", "/j1/workers/worker_1/rollback")),
    ],
)
def test_the_server_gets_the_id_of_the_worker(
    job: None,
    served: FakeApi,
    orchestrator: Orchestrator,
    arguments: tuple[str, ...],
    called: tuple[str, str],
) -> None:
    served.calls.clear()

    try:
        orchestrator(*arguments)
    except KeyError:
        assert arguments[0] == "rollback", "the fake server supports no rollback"

    assert served.calls_of(*called)


def test_without_a_server_the_files_name_the_worker(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    directory = folder / "workspace" / "job_j1"
    (directory / "logs").mkdir(parents=True)
    status: dict[str, Any] = {"job_id": "j1", "status": "completed", "results": {"tasks": WORKERS}}
    (directory / "status.json").write_text(json.dumps(status))
    for number in (1, 2):
        (directory / "logs" / f"depth_0_worker_{number}.log").write_text(f"{number}\n")

    assert orchestrator("logs", "j1", "parse") == ExitCode.OK

    assert capsys.readouterr().out == "1\n"


@pytest.mark.parametrize("command", ["cancel", "logs", "diff", "checkpoints", "attach", "feedback"])
def test_a_name_with_a_typing_error_is_answered_with_the_task(
    job: None, orchestrator: Orchestrator, capsys: Capture, command: str
) -> None:
    assert orchestrator(command, "j1", "prase") == ExitCode.NOT_FOUND

    err = capsys.readouterr().err
    assert "job j1 has no worker or task 'prase'; did you mean 'parse'?" in err
    assert "bin/orchestrator status j1" in err


def test_merge_also_accepts_the_ids_of_child_jobs(
    job: None, served: FakeApi, orchestrator: Orchestrator
) -> None:
    with pytest.raises(KeyError):  # The fake server has no record of a merge.
        orchestrator("merge", "j1", "--include", "c41d", "--exclude", "parse")

    [call] = served.calls_of("POST", "/j1/merge")
    assert call.body == {"take": ["c41d"], "leave": ["worker_1"]}


def test_candidates_are_named_by_their_ids(
    job: None, orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert orchestrator("cancel", "j1", "lint") == ExitCode.USAGE
    assert "has several workers; name one: worker_2, worker_3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "note"),
    [
        ("success", "worker_1 has already ended (success); nothing was cancelled\n"),
        ("running", "stopping worker_1; show the job: bin/orchestrator status j1\n"),
    ],
)
def test_cancelling_a_worker_reports_whether_the_worker_had_ended(
    served: FakeApi,
    orchestrator: Orchestrator,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    note: str,
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    capsys.readouterr()
    tree = {"workers": [{**WORKERS[0], "status": status, "child_jobs": []}]}
    monkeypatch.setattr(served.jobs["j1"], "tree", lambda: tree)

    assert orchestrator("cancel", "j1", "parse") == ExitCode.OK

    assert capsys.readouterr() == ("running\n", note)
