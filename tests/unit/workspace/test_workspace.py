"""The files of a workspace: the logs of jobs, status.json, and the lock."""

import errno
import fcntl
import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import WorkspaceBusy
from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.listed_workers import LISTED_WORKERS
from orchestrator.core.ports import StateChange, Tree
from orchestrator.security.files.untrusted_files import NotPlain
from orchestrator.workspace import JobDirectories, JobLog, StatusFiles, WorkspaceLock
from orchestrator.workspace.job_log import line_of
from tests.integration.site import until
from tests.unit.workspace.test_job_directories import JOB, WORKER


def event(**data: Any) -> Event:
    return Event(root_id="abc", seq=1, job_id="abc", kind=EventKind.JOB_ENDED, at=0.0, data=data)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("with-dash_and.dot", "with-dash_and.dot"),
        ("two words", '"two words"'),
        ('say "x"', '"say \\"x\\""'),
        ("a\nb", '"a\\nb"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("a\u2028b\x85", '"a\\u2028b\\u0085"'),
        ("x=1 y=2", '"x=1 y=2"'),
        (3, "3"),
        (["a\nb"], '["a\\nb"]'),
    ],
)
def test_text_from_others_is_quoted_in_the_log(value: object, shown: str) -> None:
    line = line_of(event(said=value))

    assert line == f"1970-01-01T00:00:00.000Z job_ended job=abc said={shown}\n"


def test_a_long_text_is_cut_in_the_log() -> None:
    assert len(line_of(event(request="x y" * 100_000))) < 400


class History:
    """The store's events of root jobs."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, root_id: str, after: int, limit: int) -> list[Event]:
        return [e for e in self.events if e.root_id == root_id and e.seq > after][:limit]

    def add(self, *kinds: EventKind, root: str = "abc") -> StateChange:
        """Add an event, as a stored change does."""
        first = len(self(root, 0, 9999)) + 1
        new = [
            Event(root_id=root, seq=seq, job_id=root, kind=kind, at=0.0, data={"n": seq})
            for seq, kind in enumerate(kinds, first)
        ]
        self.events += new
        return StateChange(events=new)


@pytest.fixture
def history() -> History:
    return History()


def lines_of(place: Path, root: str = "abc") -> list[int]:
    """Return the numbers of the events in a job's log."""
    text = (place / f"job_{root}" / "logs" / "orchestrator.log").read_text()
    assert text.endswith("\n")
    return [int(line.rpartition("=")[2]) for line in text.splitlines()]


SUBMITTED, ENDED = EventKind.JOB_SUBMITTED, EventKind.JOB_ENDED


def test_events_are_appended_to_the_log_of_their_root(tmp_path: Path, history: History) -> None:
    log = JobLog(JobDirectories(tmp_path), history)

    for kind in (SUBMITTED, SUBMITTED, ENDED):
        log(history.add(kind))

    assert lines_of(tmp_path) == [1, 2, 3]


def test_events_that_a_crash_kept_out_of_the_log_precede_later_ones(
    tmp_path: Path, history: History
) -> None:
    JobLog(JobDirectories(tmp_path), history)(history.add(SUBMITTED))
    history.add(SUBMITTED, SUBMITTED)
    path = tmp_path / "job_abc" / "logs" / "orchestrator.log"
    path.write_text(path.read_text() + "1970-01-01T00:0")

    JobLog(JobDirectories(tmp_path), history)(history.add(SUBMITTED, ENDED))

    assert lines_of(tmp_path) == [1, 2, 3, 4, 5]


def test_the_log_of_a_job_that_ended_in_a_crash_is_completed(
    tmp_path: Path, history: History
) -> None:
    JobLog(JobDirectories(tmp_path), history)(history.add(SUBMITTED))
    history.add(SUBMITTED, ENDED)

    for _ in range(2):
        JobLog(JobDirectories(tmp_path), history).write_missing(JOB)
    assert lines_of(tmp_path) == [1, 2, 3]

    JobLog(JobDirectories(tmp_path), history).write_missing(replace(JOB, id="gone", root_id="gone"))
    assert not (tmp_path / "job_gone").exists()


def test_a_log_that_cannot_be_written_delays_no_other_log_and_is_completed_later(
    tmp_path: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True

    def write(handle: int, content: bytes) -> None:
        if full and b"job=abc" in content:
            os.write(handle, content[:5])
            raise OSError(errno.ENOSPC, "no space")
        os.write(handle, content)

    monkeypatch.setattr("orchestrator.workspace.job_log._write_all", write)
    log = JobLog(JobDirectories(tmp_path), history)
    both = [*history.add(SUBMITTED, ENDED).events, *history.add(SUBMITTED, root="def").events]
    log(StateChange(events=both))
    assert lines_of(tmp_path, "def") == [1]

    full = False

    until(lambda: b"job_ended" in (tmp_path / "job_abc/logs/orchestrator.log").read_bytes(), "log")
    assert lines_of(tmp_path) == [1, 2]
    log.close()


def test_the_log_is_not_written_through_a_link(tmp_path: Path, history: History) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    logs = tmp_path / "job_abc" / "logs"
    logs.mkdir(parents=True)
    (logs / "orchestrator.log").symlink_to(elsewhere)

    JobLog(JobDirectories(tmp_path), history)(history.add(SUBMITTED))

    assert elsewhere.read_text() == ""


def test_nothing_is_written_through_a_link_in_place_of_a_jobs_directory(
    tmp_path: Path, history: History, stored: "StoreStub"
) -> None:
    workspace, elsewhere = JobDirectories(tmp_path / "jobs"), tmp_path / "elsewhere"
    (elsewhere / "logs").mkdir(parents=True)
    workspace.root.mkdir()
    workspace.job_directory("abc").symlink_to(elsewhere)

    JobLog(workspace, history)(history.add(SUBMITTED))
    StatusFiles(workspace, stored)(StateChange(new_jobs=[replace(JOB, status=JobStatus.COMPLETED)]))
    with pytest.raises(NotPlain, match="a link has replaced it"):
        workspace.prepare_worker(WORKER, {"task.json": "{}"})

    assert [path.name for path in elsewhere.rglob("*")] == ["logs"]


class StoreStub:
    """A stand-in for the store that returns an ended tree."""

    def __init__(self) -> None:
        self.tree: Tree | None = None

    def __call__(self, root_id: str) -> Tree | None:
        return self.tree


@pytest.fixture
def stored() -> StoreStub:
    return StoreStub()


@pytest.fixture
def files(tmp_path: Path, stored: StoreStub) -> StatusFiles:
    return StatusFiles(JobDirectories(tmp_path), stored)


def written(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "job_abc" / "status.json").read_text())
    return found


def test_changes_are_written_before_the_files_stop(files: StatusFiles, tmp_path: Path) -> None:
    files.start()
    for status in (WorkerStatus.PENDING, WorkerStatus.RUNNING):
        files(StateChange(new_jobs=[JOB], new_workers=[replace(WORKER, status=status)]))

    files.stop()

    assert written(tmp_path)["results"]["tasks"][0]["status"] == "running"


def test_changes_that_a_killed_server_did_not_write_are_written_by_the_next_server(
    files: StatusFiles, tmp_path: Path
) -> None:
    files.load(Tree(jobs=[JOB], tasks={}, workers=[replace(WORKER, status=WorkerStatus.RUNNING)]))

    files.start()
    files.stop()

    assert written(tmp_path)["counts"] == {"running": 1}


def test_the_last_word_on_a_job_is_written_at_once(files: StatusFiles, tmp_path: Path) -> None:
    files(StateChange(new_jobs=[JOB], new_workers=[WORKER]))
    done = replace(WORKER, status=WorkerStatus.SUCCESS)

    files(StateChange(jobs=[replace(JOB, status=JobStatus.COMPLETED)], workers=[done]))

    assert written(tmp_path)["status"] == "completed"
    assert written(tmp_path)["counts"] == {"success": 1}


def test_the_file_of_a_larger_job_lists_its_failures_and_names_the_file_of_all_workers(
    files: StatusFiles, tmp_path: Path
) -> None:
    workers = [
        replace(WORKER, id=f"worker_{number}", task_id=f"t{number}", index=number)
        for number in range(LISTED_WORKERS + 50)
    ]
    child = replace(JOB, id="child", parent_job_id=JOB.id, parent_worker_id=workers[1].id, depth=1)
    parent = replace(workers[1], status=WorkerStatus.RECURSIVE_SUCCESS, child_job_ids=(child.id,))
    below = replace(WORKER, id=f"{parent.id}_1", job_id=child.id, status=WorkerStatus.FAILED)
    done = [replace(worker, status=WorkerStatus.SUCCESS) for worker in workers]
    done = [done[0], parent, *done[2:-1], replace(done[-1], status=WorkerStatus.TIMEOUT)]
    files(StateChange(new_jobs=[JOB, child], new_workers=[*workers, below]))

    files(StateChange(jobs=[replace(JOB, status=JobStatus.PARTIAL)], workers=[*done, below]))

    status = written(tmp_path)
    rows = {row["worker_id"]: row for row in status["results"]["tasks"]}
    assert rows[done[-1].id]["status"] == "timeout"
    assert [row["worker_id"] for row in rows[parent.id]["child_results"]] == [below.id]
    assert len(rows) + 1 == LISTED_WORKERS
    assert sum(status["counts"].values()) == len(workers) + 1
    omitted = status["workers_omitted"]
    assert omitted["count"] == len(workers) + 1 - LISTED_WORKERS
    assert (omitted["tasks"], omitted["tasks_succeeded"]) == (len(workers), len(workers) - 1)
    assert omitted["all"] == "GET /api/v1/jobs/abc/columns"
    whole = json.loads((tmp_path / "job_abc" / omitted["file"]).read_text())
    assert [row["worker_id"] for row in whole["results"]["tasks"]] == [each.id for each in workers]
    assert whole["counts"] == status["counts"]


def test_a_job_that_runs_again_is_written_with_all_its_workers(
    files: StatusFiles, stored: StoreStub, tmp_path: Path
) -> None:
    other = replace(WORKER, id="worker_2", index=1, status=WorkerStatus.FAILED)
    failed = replace(JOB, status=JobStatus.PARTIAL)
    done = replace(WORKER, status=WorkerStatus.SUCCESS)
    stored.tree = Tree(jobs=[failed], tasks={}, workers=[done, other])
    files(StateChange(jobs=[replace(JOB, status=JobStatus.RUNNING)]))

    files(
        StateChange(
            jobs=[replace(JOB, status=JobStatus.COMPLETED)],
            workers=[replace(other, status=WorkerStatus.SUCCESS)],
        )
    )

    assert written(tmp_path)["counts"] == {"success": 2}


def test_a_stale_status_file_is_rewritten(
    files: StatusFiles, stored: StoreStub, tmp_path: Path
) -> None:
    worker = replace(WORKER, status=WorkerStatus.CANCELLED)
    running = replace(JOB, status=JobStatus.RUNNING)
    files(StateChange(new_jobs=[running], new_workers=[worker]))
    files.start()
    files.stop()
    assert written(tmp_path)["status"] == "running"
    ended = replace(JOB, status=JobStatus.CANCELLED)
    stored.tree = Tree(jobs=[ended], tasks={}, workers=[worker])

    StatusFiles(JobDirectories(tmp_path), stored).write_missing(ended)

    assert written(tmp_path)["status"] == "cancelled"


def test_a_write_that_fails_does_not_end_the_writing(files: StatusFiles, tmp_path: Path) -> None:
    directory = tmp_path / "job_abc"
    directory.write_text("in the way")
    files.start()
    files(StateChange(new_jobs=[JOB]))
    failing = threading.Event()
    assert not failing.wait(0.3)
    directory.unlink()

    files(StateChange(jobs=[replace(JOB, status=JobStatus.RUNNING)]))
    files.stop()

    assert written(tmp_path)["status"] == "running"


def test_a_failed_write_for_an_ended_job_is_retried(files: StatusFiles, tmp_path: Path) -> None:
    obstacle = tmp_path / "job_abc" / "status.json"
    obstacle.mkdir(parents=True)
    files.start()

    files(StateChange(new_jobs=[replace(JOB, status=JobStatus.COMPLETED)]))
    obstacle.rmdir()

    until(obstacle.exists, "the file is written")
    assert written(tmp_path)["status"] == "completed"
    files.stop()


def test_one_process_holds_a_workspace_at_a_time(tmp_path: Path) -> None:
    first, second = WorkspaceLock(tmp_path), WorkspaceLock(tmp_path)
    first.acquire()

    with pytest.raises(WorkspaceBusy, match=rf"in use by another server \(process {os.getpid()}\)"):
        second.acquire()

    first.release()
    second.acquire()
    second.release()


def test_a_lock_without_a_name_in_it_is_respected(tmp_path: Path) -> None:
    handle = os.open(tmp_path / "server.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)

    with pytest.raises(WorkspaceBusy, match=r"process unknown\).*: fuser .*server\.lock$"):
        WorkspaceLock(tmp_path).acquire()

    os.close(handle)
