"""The merge runner without a server, in a real repository: crashes, bisecting, and retries."""

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.agent_registry import AgentRegistry
from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.gate import Gate
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.merge_outcome import MergeRejection
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import sent_ref, start_ref, worker_branch
from orchestrator.engine.merge.merge_runner import MergeRunner
from orchestrator.engine.merge.record.merge_record import MergeRecord, MergeRecords
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.engine.worktrees.result_adoption import merge_result_so_far
from orchestrator.engine.worktrees.worker_worktrees import Worktrees
from orchestrator.git import GitRepository
from orchestrator.reports import write_report
from orchestrator.workspace import JobDirectories
from tests.support.crashing import Crash, crash_at
from tests.support.examples import nightly
from tests.support.gates import RunningGates
from tests.support.project import Project
from tests.unit.core.factories import a_config, a_job, a_task, a_worker

#: A gate that fails if the project has a file of this name.
NO_BAD_FILES = Gate(name="no bad files", run="! ls bad* 2>/dev/null")


class Bench:
    """Workers that have ended, each with one commit on its branch."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder / "project").begin({"a.txt": "a\n", "b.txt": "b\n"})
        self.workspace = JobDirectories(folder / "workspace")
        self.repository = GitRepository(self.project.path, folder / "workspace", folder)
        self.gates = RunningGates()
        self.records = MergeRecords(self.workspace, write_report)
        config = a_config(base=self.project.git("rev-parse", "HEAD"), gates=(NO_BAD_FILES,))
        self.job: Job = a_job(config=config)
        self.tasks: list[Any] = []
        self.workers: list[Worker] = []
        self.workspace.job_directory(self.job.id).mkdir(parents=True)

    def worker(self, files: dict[str, str], *needs: str) -> Worker:
        name = f"worker_{len(self.workers) + 1}"
        worker = a_worker(
            id=name,
            job_id=self.job.id,
            root_id=self.job.id,
            task_id=name,
            status=WorkerStatus.SUCCESS,
        )
        self.tasks.append(a_task(name, *needs))
        self.workers.append(worker)
        start = self.job.config.base
        for need in needs:
            start = self.repository.commit_of(f"refs/heads/orchestrator/{self.job.id}/{need}")
        self.repository.set_ref(start_ref(worker), start)
        self.change(worker, files, start)
        return worker

    def change(self, worker: Worker, files: dict[str, str], start: str) -> None:
        self.project.git("checkout", "-q", "--detach", start)
        self.project.commit(files, f"by {worker.id}")
        self.repository.set_ref(worker_branch(worker), self.project.git("rev-parse", "HEAD"))
        self.project.git("checkout", "-q", "main")

    @property
    def tree(self) -> Tree:
        return Tree(jobs=[self.job], tasks={self.job.id: self.tasks}, workers=self.workers)

    def merge(self) -> Sequence[MergeRejection]:
        worktrees = Worktrees(self.repository, AgentRegistry(()), self.workspace)
        without = ChangesWithoutWorktree(
            self.project.path, self.project.path, self.repository, self.workspace, ()
        )
        merge_runner = MergeRunner(
            self.repository, worktrees, self.gates, self.workspace, self.records, without
        )
        merged = merge_runner.merge_job(self.tree, self.job.id)
        assert not merged.error
        return merged.rejections

    @property
    def record(self) -> MergeRecord:
        found = self.records.read(self.job)
        assert found is not None
        return found

    def result(self) -> list[str]:
        return self.project.files(f"orchestrator/{self.job.id}/result")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_culprits_are_found_by_halving_and_named(bench: Bench) -> None:
    for number in range(8):
        bench.worker({f"{'bad' if number in (2, 6) else 'good'}_{number}": "x\n"})

    rejections = bench.merge()

    assert [each.worker_id for each in rejections] == ["worker_3", "worker_7"]
    assert "gate no bad files failed" in rejections[0].reason
    assert rejections[0].gates[0].output.strip() == "bad_2"
    assert bench.record.merged == [f"worker_{number}" for number in (1, 2, 4, 5, 6, 8)]
    assert not [name for name in bench.result() if name.startswith("bad")]
    # From the second culprit on, the search for an earlier cause doubles the number of runs.
    assert len(bench.gates.seen) <= 1 + (1 + 3) + 2 * (1 + 3)
    assert bench.project.worktrees() == []


def test_the_reason_names_why_a_gate_did_not_run_on_the_merged_state(bench: Bench) -> None:
    bench.worker({"good": "x\n"})
    bench.worker({"bad": "x\n"})
    bench.gates.broken = "timed out after 1 s"

    rejections = bench.merge()

    assert [each.worker_id for each in rejections] == ["worker_2"]
    assert rejections[0].reason.endswith("gate no bad files did not run: timed out after 1 s")


def test_a_rejected_worker_continues_with_the_changes_of_the_others(bench: Bench) -> None:
    bench.worker({"good": "x\n"})
    culprit = bench.worker({"bad": "x\n"})
    bench.merge()
    start = bench.repository.commit_of(start_ref(culprit))

    again = merge_result_so_far(bench.repository, bench.job, culprit, start)

    assert {"good", "bad"} <= set(bench.project.files(worker_branch(culprit)))
    assert bench.repository.changed_paths(
        again, bench.repository.commit_of(worker_branch(culprit))
    ) == ["bad"]
    assert not bench.repository.commit_of(sent_ref(culprit))
    assert merge_result_so_far(bench.repository, bench.job, culprit, again) == again
    # The worker repairs the culprit: both are in the result.
    bench.project.git("checkout", "-q", "--detach", worker_branch(culprit))
    bench.project.git("mv", "bad", "mended")
    bench.project.git("commit", "-q", "-m", "mended")
    bench.repository.set_ref(worker_branch(culprit), bench.project.git("rev-parse", "HEAD"))
    bench.project.git("checkout", "-q", "main")
    assert bench.merge() == []
    assert {"good", "mended"} <= set(bench.result())
    assert bench.record.merged == ["worker_1", "worker_2"]


def test_a_crash_while_it_takes_up_loses_nothing(bench: Bench) -> None:
    bench.worker({"good": "x\n"})
    culprit = bench.worker({"bad": "x\n"})
    bench.merge()
    with crash_at(1), pytest.raises(Crash):
        merge_result_so_far(
            bench.repository, bench.job, culprit, bench.repository.commit_of(start_ref(culprit))
        )

    merge_result_so_far(
        bench.repository, bench.job, culprit, bench.repository.commit_of(start_ref(culprit))
    )

    assert {"good", "bad"} <= set(bench.project.files(worker_branch(culprit)))


def test_a_worker_that_conflicts_with_the_result_so_far_continues_alone(bench: Bench) -> None:
    bench.worker({"a.txt": "one\n"})
    culprit = bench.worker({"a.txt": "two\n", "bad": "x\n"})
    bench.job = replace(bench.job, config=replace(bench.job.config, merge_strategy="theirs"))
    assert [each.worker_id for each in bench.merge()] == ["worker_2"]
    start = bench.repository.commit_of(start_ref(culprit))

    assert merge_result_so_far(bench.repository, bench.job, culprit, start) == start

    assert bench.project.show(worker_branch(culprit), "a.txt") == "two"


@pytest.mark.parametrize("history", ["merge", *nightly("linear")])
def test_a_crash_at_any_failpoint_is_made_up_for(bench: Bench, history: str) -> None:
    bench.job = replace(bench.job, config=replace(bench.job.config, history=history))
    bench.worker({"one": "x\n"})
    bench.worker({"bad": "x\n"})
    bench.worker({"a.txt": "A\n"}, "worker_1")
    before = bench.project.snapshot()
    for nth in itertools.count(1):
        with crash_at(nth), suppress(Crash):
            rejections = bench.merge()
            break

    assert nth > 5
    assert [each.worker_id for each in rejections] == ["worker_2"]
    assert bench.record.merged == ["worker_1", "worker_3"]
    assert bench.result() == ["a.txt", "b.txt", "one"]
    merges = bench.project.git("rev-list", "--merges", f"orchestrator/{bench.job.id}/result")
    assert merges == ""
    assert bench.project.worktrees() == []
    assert bench.project.snapshot() == before


@pytest.mark.parametrize("call", ["merged_by_drivers", "project_path"])
def test_an_error_of_git_after_the_result_is_stored_costs_no_result(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    bench.worker({"one.txt": "1\n"})
    bench.worker({"two.txt": "2\n"})
    whole = getattr(bench.repository, call)
    failures = iter([RepositoryError("git died")])

    def once_without_git(*arguments: Any) -> Any:
        is_stored = bench.repository.commit_of(f"refs/heads/orchestrator/{bench.job.id}/result")
        if is_stored and (error := next(failures, None)):
            raise error
        return whole(*arguments)

    monkeypatch.setattr(bench.repository, call, once_without_git)

    bench.merge()

    assert next(failures, None) is None, "git did not fail"
    assert {"one.txt", "two.txt"} <= {*bench.result()}
    assert bench.record.merged == ["worker_1", "worker_2"]
    assert bench.record.errors == []


def test_a_prune_during_a_merge_removes_nothing_of_the_merge(bench: Bench) -> None:
    for number in range(4):
        bench.worker({f"{'bad' if number == 2 else 'good'}_{number}": "x\n"})
    failpoints.arm(lambda name: bench.project.git("prune", "--expire=now") and None)
    try:
        rejections = bench.merge()
    finally:
        failpoints.arm(None)

    assert [each.worker_id for each in rejections] == ["worker_3"]
    assert {"good_0", "good_1", "good_3"} <= set(bench.result())
    assert bench.project.git("fsck", "--no-dangling", "--connectivity-only") == ""
    assert not bench.project.git("for-each-ref", f"refs/orchestrator/{bench.job.id}/merging")


def test_clean_finds_what_a_crash_left_while_gates_ran(bench: Bench) -> None:
    bench.worker({"one": "x\n"})
    with crash_at(1, "merge: gates begin"), pytest.raises(Crash):
        bench.merge()
    assert len(bench.project.worktrees()) == 1

    directory = str(bench.workspace.job_directory(bench.job.id))
    bench.repository.remove_job_refs(bench.job.id, directory, directory)

    assert bench.project.worktrees() == []
    assert bench.project.git("for-each-ref", "refs/orchestrator", "refs/heads/orchestrator") == ""
