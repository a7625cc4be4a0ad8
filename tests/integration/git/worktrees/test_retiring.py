"""Worktrees are removed after their workers have ended. The content is on the branches."""

import os
from dataclasses import replace
from pathlib import Path

from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import StateChange
from orchestrator.engine.worktrees.worktree_need_and_removal import (
    OpenedWorktrees,
    WorktreeRemoval,
    gates_directory,
    worktree_of,
)
from orchestrator.workspace import JobDirectories
from tests.contract.store_values import a_child, a_job, an_event
from tests.integration.git.conftest import Host
from tests.integration.site import until
from tests.support.project import edit

GONE = "until [ ! -e ../../{}/worktree ]; do sleep 0.02; done"


def test_a_worktree_is_removed_as_soon_as_its_worker_has_ended(host: Host) -> None:
    tasks = [
        edit("echo a > a.txt; git status -s > /dev/null", id="a"),
        edit("echo wip > wip.txt; exit 1", id="fails", retries=0),
        edit(f"{GONE.format('worker_1')}; {GONE.format('worker_2')}; echo b > b.txt", id="b"),
        edit(f"{GONE.format('worker_1')}; cat a.txt > c.txt", id="c", depends_on=["a"]),
    ]
    ended = host.run(*tasks, default_timeout=60)
    assert [row["status"] for row in ended["results"]["tasks"]] == [
        "success",
        "failed",
        "success",
        "success",
    ], ended
    job = ended["job_id"]
    assert host.project.show(f"orchestrator/{job}/result", "c.txt") == "a"
    assert host.project.show(f"orchestrator/{job}/worker_2", "wip.txt") == "wip"
    assert host.record(job)["errors"] == []


def worker(attempt: int, **more: object) -> Worker:
    made = Worker(
        id="worker_1", job_id="1", root_id="1", task_id="t", index=0, depth=0, agent="editor"
    )
    return replace(made, attempt=attempt, **more)  # type: ignore[arg-type]


def find_job(job_id: str) -> Job:
    job = a_job(id=job_id)
    return replace(job, config=replace(job.config, base="" if job_id == "plain" else "c0ffee"))


def test_the_worktree_of_a_newer_attempt_is_not_removed() -> None:
    opened = OpenedWorktrees()
    opened.note_opened(worker(2))
    assert not opened.may_remove(worker(1))
    assert opened.may_remove(worker(2))


def test_removed_worktrees_leave_nothing_in_memory(host: Host) -> None:
    host.run(edit("echo a > a.txt"), edit("echo b > b.txt; exit 1", retries=1))
    assert not host.site.manager.parts.attempts._worktrees._opened_worktrees._opened


class Seen:
    """Records the removed worktrees."""

    def __init__(self) -> None:
        self.removed: list[int] = []

    def remove(self, worker: Worker) -> None:
        self.removed.append(worker.attempt)


class Baselines:
    """Records the root jobs whose worktrees of base commits were removed."""

    def __init__(self, *bases: object) -> None:
        self.bases = bases
        self.dropped: list[str] = []

    def drop(self, root_id: str) -> None:
        self.dropped.append(root_id)


def test_worktrees_of_base_commits_are_removed_after_their_root_job(tmp_path: Path) -> None:
    root, workspace = a_job(), JobDirectories(tmp_path)
    ends = [
        an_event(root, 1, kind=EventKind.JOB_ENDED),
        an_event(a_child("b", root), 2, kind=EventKind.JOB_ENDED),
    ]

    def dropped(baselines: Baselines) -> list[str]:
        WorktreeRemoval(Seen(), baselines, workspace, find_job)(StateChange(events=ends))
        return baselines.dropped

    assert dropped(Baselines()) == []
    assert dropped(Baselines("a site")) == [root.id]
    gates_directory(workspace, root.id).mkdir(parents=True)
    assert dropped(Baselines()) == [root.id], "an earlier server left it"


def test_a_worktree_that_may_still_be_in_use_stays(tmp_path: Path) -> None:
    seen, workspace = Seen(), JobDirectories(tmp_path)
    os.makedirs(worktree_of(workspace, worker(1)))
    worktree_removal = WorktreeRemoval(seen, Baselines(), workspace, find_job)
    ended = WorkerResult(exit_code=1)
    workers = [
        worker(1, status=WorkerStatus.RUNNING),
        worker(2, status=WorkerStatus.FAILED, result=WorkerResult()),
        worker(3, status=WorkerStatus.FAILED, result=ended),
        worker(4, status=WorkerStatus.SUCCESS, result=ended),
        replace(worker(5, status=WorkerStatus.SUCCESS, result=ended), job_id="plain"),
    ]
    worktree_removal(StateChange(workers=workers))
    until(lambda: len(seen.removed) == 2, "both are removed")
    worktree_removal.close()
    assert seen.removed == [3, 4]
    worktree_removal(StateChange(workers=workers))
