"""What a job's workers changed becomes one branch, once all of them have ended."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.core import failpoints
from orchestrator.core.dag import in_order
from orchestrator.core.errors import RepositoryError
from orchestrator.core.model import Job, Worker
from orchestrator.core.ports import Tree, Workspace
from orchestrator.core.repository import (
    FileConflict,
    Repository,
    Strategy,
    branch_of,
    child_refs,
    hidden,
    merger_of,
    record_name,
    result_branch,
    short,
    worker_branch,
)
from orchestrator.core.states import WorkerStatus
from orchestrator.engine.worktrees import Worktrees

logger = logging.getLogger(__name__)

#: So many paths are named in a sentence.
MOST_PATHS = 10
#: Writes a file below a directory, whole or not at all.
Write = Callable[[Path, str, str], object]


@dataclass(kw_only=True, slots=True)
class Record:
    """What became of the changes of a job; kept in ``reports/merge_<job>.json``."""

    job_id: str
    strategy: str
    base: str
    #: The merged result; empty when nothing was merged, or nothing was changed.
    branch: str = ""
    commit: str = ""
    #: Workers whose changes are in it.
    merged: list[str] = field(default_factory=list)
    #: Workers whose changes are not, with their branches.
    left_out: dict[str, str] = field(default_factory=dict)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    #: What changed in the user's checkout while the job ran.
    leaks: list[str] = field(default_factory=list)
    #: What went wrong, in words.
    errors: list[str] = field(default_factory=list)


class Integrator:
    """For the thread that writes reports: a job ends once its changes are merged."""

    def __init__(
        self, repository: Repository, worktrees: Worktrees, workspace: Workspace, write: Write
    ) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._workspace = workspace
        self._write = write

    def told(self, tree: Tree, job_id: str) -> Sequence[str]:
        """What became of the changes, in words, after ``integrate``."""
        job = next(each for each in tree.jobs if each.id == job_id)
        record = self.integrate(tree, job_id)
        note = (job.config.git_note,) if job.config.git_note else ()
        return [*note, *(in_words(record) if record else ())]

    def integrate(self, tree: Tree, job_id: str) -> Record | None:
        """Merge, remove the worktrees, look at the user's checkout. Idempotent.

        None for a job that has nothing to do with git. Failures are told in the record.
        """
        job = next(each for each in tree.jobs if each.id == job_id)
        base = _base(tree, job)
        if not base:
            return None
        record = Record(job_id=job_id, strategy=job.config.merge_strategy, base=base)
        workers = [each for each in tree.workers if each.job_id == job_id]
        self._guarded(record, lambda: self._remove_worktrees(record, workers))
        self._guarded(record, lambda: self._merge_all(record, tree, job))
        if job.is_root:
            self._guarded(record, lambda: record.leaks.extend(self._worktrees.leaks(job.id)))
        self._keep(job, record)
        return record

    def _guarded(self, record: Record, step: Callable[[], object]) -> None:
        try:
            step()
        except RepositoryError as error:
            logger.warning("git: %s", error, extra={"job_id": record.job_id})
            record.errors.append(error.message)

    def _keep(self, job: Job, record: Record) -> None:
        text = json.dumps(asdict(record), indent=1)
        name = f"reports/{record_name(job.id)}"
        self._write(self._workspace.job_directory(job.root_id), name, text)

    def _remove_worktrees(self, record: Record, workers: Sequence[Worker]) -> None:
        for worker in workers:
            self._guarded(record, partial(self._worktrees.remove, worker))

    def _merge_all(self, record: Record, tree: Tree, job: Job) -> None:
        tip = record.base
        for worker in _chosen(tree, job):
            tip = self._merge_worker(record, job, worker, tip)
        failpoints.reached("merge: done")
        if job.config.merge_strategy == Strategy.MANUAL:
            _leave_all(record, job)
        elif tip != record.base:
            record.branch, record.commit = short(result_branch(job.root_id, job.id)), tip
            self._repository.point(result_branch(job.root_id, job.id), tip)
            self._repository.point(f"{hidden(job.root_id)}base/{job.id}", record.base)
            self._tell_parent(record, tree, job)
        failpoints.reached("merge: stored")

    def _merge_worker(self, record: Record, job: Job, worker: Worker, tip: str) -> str:
        """The result with a worker's changes in it; without, where it does not go together."""
        for commit in self._worktrees.tips_of(job, worker.id):
            self._fold(worker, commit)
            message = f"Merge {worker.id}: {worker.task_id}"
            force = job.config.merge_strategy == Strategy.THEIRS
            merged = self._repository.merge(tip, commit, message, merger_of(job), force=force)
            for conflict in merged.conflicts:
                record.conflicts.append(_told(worker, conflict, bool(merged.commit)))
            if not merged.commit:
                record.left_out[worker.id] = short(worker_branch(worker))
            elif merged.commit != tip and worker.id not in record.merged:
                record.merged.append(worker.id)
            tip = merged.commit or tip
        return tip

    def _fold(self, worker: Worker, commit: str) -> None:
        """Its child jobs' results are on its own branch from now on."""
        branch = worker_branch(worker)
        tip = self._repository.tip(branch)
        lives = os.path.lexists(self._worktrees.directory(worker))
        if tip and tip != commit and not lives and self._repository.contains(commit, tip):
            self._repository.point(branch, commit)

    def _tell_parent(self, record: Record, tree: Tree, job: Job) -> None:
        if job.parent_worker_id is None:
            return
        parent = next(each for each in tree.workers if each.id == job.parent_worker_id)
        refs = f"{child_refs(job.root_id, job.parent_worker_id)}{job.id}/"
        self._repository.point(f"{refs}base", record.base)
        self._repository.point(f"{refs}result", record.commit)
        if parent.status is WorkerStatus.WAITING:
            self._guarded(record, partial(self._bring, record, job, parent))

    def _bring(self, record: Record, job: Job, parent: Worker) -> None:
        """A worker that waits finds what its child job changed where it works."""
        merged = self._worktrees.bring_result(job, parent, record.base, record.commit)
        for conflict in merged.conflicts if merged else ():
            record.conflicts.append(_told(parent, conflict, bool(merged and merged.commit)))


def in_words(record: Record) -> Iterator[str]:
    """What became of a job's changes, for its report."""
    if record.branch:
        who = ", ".join(record.merged)
        yield f"Branch {record.branch} (commit {record.commit[:12]}) has the changes of {who}."
        yield f"To see it: orchestrator diff {record.job_id}."
        yield f"To have it on your branch: orchestrator land {record.job_id}."
    for worker, branch in record.left_out.items():
        paths = [each["path"] for each in record.conflicts if each["worker_id"] == worker]
        why = f", for conflicts in {', '.join(paths[:MOST_PATHS])}" if paths else ""
        yield f"Not merged: {worker}, which is kept on branch {branch}{why}."
    for conflict in record.conflicts:
        if conflict["resolved"]:
            yield f"{conflict['path']}: {conflict['worker_id']} won over those before it."
    if record.leaks:
        yield (
            "Your checkout changed while the job ran (by you, or by a worker that left its "
            f"worktree): {', '.join(record.leaks[:MOST_PATHS])}."
        )
    yield from (f"Not done: {error}" for error in record.errors)


def _leave_all(record: Record, job: Job) -> None:
    """What was found out is told; nothing of it was kept."""
    names = [*record.merged, *record.left_out]
    record.left_out = {name: short(branch_of(job.root_id, name)) for name in names}
    record.merged = []


def _base(tree: Tree, job: Job) -> str:
    """A job whose own workers change nothing may have child jobs whose workers do."""
    if job.config.base:
        return job.config.base
    below = (each for each in tree.jobs if each.parent_job_id == job.id)
    return next((base for each in below if (base := _base(tree, each))), "")


def _chosen(tree: Tree, job: Job) -> Iterator[Worker]:
    """In order of dependencies, for each task the first worker that succeeded."""
    workers = [each for each in tree.workers if each.job_id == job.id and each.status.succeeded]
    for task in in_order(tree.tasks[job.id]):
        found = next((each for each in workers if each.task_id == task.id), None)
        if found is not None:
            yield found


def _told(worker: Worker, conflict: FileConflict, resolved: bool) -> dict[str, Any]:
    who = {"worker_id": worker.id, "branch": short(worker_branch(worker))}
    return {**who, **asdict(conflict), "resolved": resolved}
