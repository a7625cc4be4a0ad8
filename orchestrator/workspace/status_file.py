"""Writes ``status.json`` of every root job, for shell scripts and people.

The file is replaced atomically. If a job has more than ``LISTED_WORKERS`` workers, the file lists
only this number of workers, and their parent workers. The field ``workers_omitted`` then has the
number of omitted workers, and names the API calls that list all workers. After the job's end,
this field also names the file ``ALL_WORKERS``, which lists all workers.
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, field
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.usage_caps import caps_of, usage_by_job
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import is_known, usage_fields
from orchestrator.core.model.human_input.question import Question
from orchestrator.core.model.job import Job, Worker, wall_seconds
from orchestrator.core.model.job_settings import Workdir
from orchestrator.core.outcome.job.human_needs import NeedKind, kind_of_worker
from orchestrator.core.outcome.job.job_outcome import outcome_fields, tasks_succeeded
from orchestrator.core.outcome.job.listed_workers import (
    ALL_WORKERS,
    LISTED_WORKERS,
    all_workers_call,
    listed_workers,
    worker_pages_call,
)
from orchestrator.core.outcome.job.unmerged_changes import UnmergedChanges
from orchestrator.core.ports import StateChange, Tree
from orchestrator.core.text.formatting import iso
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.untrusted_files import read_regular
from orchestrator.workspace.job_directories import JobDirectories

logger = logging.getLogger(__name__)

#: Minimum seconds between two writes of a job's file. The write at the job's end does not wait.
MIN_INTERVAL_SECONDS = 0.5
#: Seconds until a failed write of a file is retried, for example after a full disk.
RETRY_SECONDS = 1.0
#: Maximum share of time for writing one file. After a slow write, the next write waits longer, even
#: if the slow write failed.
MAX_SHARE = 0.03
#: Number of bytes at the beginning of the file that certainly contain the job's status.
HEAD_BYTES = 4096
#: Maximum characters of a worker's output in the file. The API and the reports have longer outputs.
OUTPUT_LIMIT = 2000
#: Maximum characters of a child job's request.
REQUEST_LIMIT = 300


TaskKey = tuple[str, str]


@dataclass(slots=True)
class _TreeState:
    """The state of one job tree in memory, and when its file must be written."""

    root: Job
    jobs: dict[str, Job] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    #: Planners and reviewers. Their usage is part of the job's usage.
    advisers: dict[str, Worker] = field(default_factory=dict)
    #: Pairs (job id, task id) of the tasks whose workers start in the project.
    in_project: set[TaskKey] = field(default_factory=set)
    #: Earliest time of the next write (monotonic seconds).
    due: float = 0.0
    #: True if the latest write failed, so that the file is outdated.
    outdated: bool = False


class StatusFiles:
    """Observer of stored changes that writes the status files in a background thread.

    The observer keeps the state of all unfinished job trees in memory.
    """

    def __init__(self, workspace: JobDirectories, read: Callable[[str], Tree | None]) -> None:
        self._workspace = workspace
        #: Function that reads a job tree from the store, by the root job's id.
        self._read = read
        self._watched: dict[str, _TreeState] = {}
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        #: Held during a write. Two simultaneous writes would use the same temporary file, and an
        #: older state could replace a newer state.
        self._writing = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="status-files", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write all outdated files, and then end the thread."""
        with self._lock:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def load(self, tree: Tree) -> None:
        """Load the state of an unfinished tree after a restart, and write its file.

        The file may be outdated, because a killed server did not write the latest changes.
        """
        with self._lock:
            self._watched[tree.root.id] = _tree_state(tree)
            self._changed.add(tree.root.id)
            self._wake.notify()

    def write_missing(self, root: Job) -> None:
        """Write the file of an ended root job if the file is missing or outdated.

        Nothing is written if a person has removed the job's directory.
        """
        with self._lock:
            if root.id in self._watched:
                return
        directory = self._workspace.job_directory(root.id)
        head = read_regular(directory / "status.json", HEAD_BYTES) or b""
        # Search at the beginning of a line, because the lines of workers contain a status, too.
        if f'\n "status": "{root.status}",'.encode() in head or not directory.is_dir():
            return
        logger.info("writing status.json, which is missing or outdated", extra={"job_id": root.id})
        self.write(root.id)

    def write(self, root_id: str) -> None:
        """Write the file of an ended root job from its state in the store."""
        tree = self._read(root_id)
        if tree is not None:
            self._try_to_write(_tree_state(tree))

    def __call__(self, change: StateChange) -> None:
        with self._lock:
            roots = self._apply(change)
            ended = {root for root in roots if self._watched[root].root.status.ended}
            self._changed |= roots - ended
            self._wake.notify()
            finished = [self._watched.pop(root) for root in ended]
            self._changed -= ended
        for watched in finished:
            self._try_to_write(watched)

    def _apply(self, change: StateChange) -> set[str]:
        roots: set[str] = set()
        for job in change.new_jobs:
            if job.is_root:
                self._watched[job.id] = _TreeState(job)
        for job in change.jobs:
            if job.is_root:
                self._state_of(job).root = job
        for job in (*change.new_jobs, *change.jobs):
            if job.root_id in self._watched:
                self._watched[job.root_id].jobs[job.id] = job
                roots.add(job.root_id)
        in_project = {
            (job_id, task.id) for job_id, _, task in change.new_tasks if task.works_in_project
        }
        for root_id in roots if in_project else ():
            jobs = self._watched[root_id].jobs
            self._watched[root_id].in_project |= {each for each in in_project if each[0] in jobs}
        for watched in self._watched.values() if change.replaced_plans else ():
            watched.workers = {
                worker.id: worker
                for worker in watched.workers.values()
                if worker.job_id not in change.replaced_plans
            }
        for worker in (*change.new_workers, *change.workers):
            if worker.root_id in self._watched:
                watched = self._watched[worker.root_id]
                (watched.advisers if worker.is_adviser else watched.workers)[worker.id] = worker
                roots.add(worker.root_id)
        return roots

    def _state_of(self, root: Job) -> _TreeState:
        """Return the state of a root job from memory, or from the store if it is not in memory.

        The state is not in memory if the job had ended and now runs again.
        """
        if root.id not in self._watched:
            tree = self._read(root.id)
            self._watched[root.id] = _tree_state(tree) if tree else _TreeState(root)
        return self._watched[root.id]

    def _run(self) -> None:
        stopping = False
        while not stopping:
            with self._lock:
                self._wake.wait_for(lambda: self._stopping or bool(self._changed))
                stopping, due = self._stopping, self._take_due()
            for watched in due:
                self._try_to_write(watched)
            time.sleep(0.0 if stopping else MIN_INTERVAL_SECONDS / 5)

    def _take_due(self) -> list[_TreeState]:
        now = time.monotonic()
        due = {root for root in self._changed if self._stopping or self._watched[root].due <= now}
        self._changed -= due
        return [self._watched[root] for root in due]

    def _try_to_write(self, watched: _TreeState) -> None:
        try:
            self._write(watched)
        except OSError as error:
            self._write_later(watched, error)
        except Exception:
            # The next change of the job, or the next start of the server, repeats the write.
            logger.exception("cannot write status.json", extra={"job_id": watched.root.id})
        else:
            self._release(watched)

    def _write_later(self, watched: _TreeState, error: OSError) -> None:
        """Schedule another write of the file, even if the job has no further change."""
        root_id = watched.root.id
        with self._lock:
            if self._watched.setdefault(root_id, watched) is not watched:
                return  # The job runs again, and a newer state than ``watched`` will be written.
            if not watched.outdated:
                logger.warning(
                    "cannot write status.json; retrying: %s", error, extra={"job_id": root_id}
                )
            watched.outdated = True
            watched.due = max(watched.due, time.monotonic() + RETRY_SECONDS)
            self._changed.add(root_id)
            self._wake.notify()

    def _release(self, watched: _TreeState) -> None:
        with self._lock:
            watched.outdated = False
            if watched.root.status.ended and self._watched.get(watched.root.id) is watched:
                del self._watched[watched.root.id]
                self._changed.discard(watched.root.id)

    def _write(self, watched: _TreeState) -> None:
        with self._writing:
            began = time.monotonic()
            try:
                self._replace_files(watched)
            finally:
                ended = time.monotonic()
                watched.due = ended + max(MIN_INTERVAL_SECONDS, (ended - began) / MAX_SHARE)

    def _replace_files(self, watched: _TreeState) -> None:
        with self._lock:
            root, jobs = watched.root, list(watched.jobs.values())
            workers = list(watched.workers.values())
            advisers = list(watched.advisers.values())
            in_project = frozenset(watched.in_project)
        used = usage_by_job(jobs, (*workers, *advisers))
        reviewers = [each for each in advisers if each.is_reviewer and each.job_id == root.id]
        document = status_document(
            self._workspace, root, jobs, workers, used, in_project, reviewers
        )
        self._workspace.prepare_job(root.id)
        directory = self._workspace.job_directory(root.id)
        if root.status.ended and "workers_omitted" in document:
            tasks = _rows(self._workspace, _by_job(jobs, workers), root.id, in_project)
            whole = {**document, "results": {**document["results"], "tasks": tasks}}
            del whole["workers_omitted"]
            # Write this file first, because status.json names it.
            replace_file(directory / ALL_WORKERS, format_document(whole).encode())
        replace_file(directory / "status.json", format_document(document).encode())


def _tree_state(tree: Tree) -> _TreeState:
    jobs = {job.id: job for job in tree.jobs}
    in_project = {
        (job_id, task.id)
        for job_id, tasks in tree.tasks.items()
        for task in tasks
        if task.works_in_project
    }
    workers = {worker.id: worker for worker in tree.workers}
    advisers = {worker.id: worker for worker in tree.advisers}
    return _TreeState(tree.root, jobs, workers, advisers, in_project)


def format_document(document: dict[str, Any]) -> str:
    """Format JSON with one line for each field and each task.

    ``json.dumps`` with ``indent`` takes ten times as long as this function, which is too long for
    thousands of workers.
    """
    results = dict(document["results"])
    rows = ",\n".join("   " + json.dumps(row) for row in results.pop("tasks"))
    other_fields = "".join(f",\n  {json.dumps(key)}: {json.dumps(results[key])}" for key in results)
    fields = [
        f" {json.dumps(key)}: {json.dumps(value)}"
        for key, value in document.items()
        if key != "results"
    ]
    results_text = f'  "tasks": [\n{rows}\n  ]{other_fields}'
    return "{\n" + ",\n".join([*fields, ' "results": {\n' + results_text + "\n }"]) + "\n}\n"


def status_document(
    workspace: JobDirectories,
    root: Job,
    jobs: list[Job],
    workers: list[Worker],
    used: Mapping[str, Sequence[Usage]],
    in_project: Collection[TaskKey],
    reviewers: Sequence[Worker] = (),
) -> dict[str, Any]:
    """Return the content of ``status.json`` for a root job.

    ``jobs``, ``workers``: all jobs of the tree, and all workers of these jobs. ``used``: a result
    of ``usage_by_job``. ``in_project``: tasks whose workers start in the user's checkout.
    ``reviewers``: the reviewers of the root job.
    """
    by_job = _by_job(jobs, workers)
    listed = _listed(jobs, workers)
    unmerged_changes = UnmergedChanges({job.id: job for job in jobs}, by_job)
    return {
        "job_id": root.id,
        "status": root.status,
        "run": root.run,
        "reason": root.reason,
        "paused": _paused(root),
        "request": root.request,
        "created_at": iso(root.created_at),
        "started_at": iso(root.started_at),
        "ended_at": iso(root.ended_at),
        "seconds": wall_seconds(root, [*by_job[root.id], *reviewers]),
        "counts": dict(Counter(str(worker.status) for worker in workers)),
        **_omitted(root, by_job[root.id], len(workers) - len(listed)),
        **_usage_and_caps(root, used),
        "labels": dict(root.config.labels),
        "base_branch": root.config.base_branch,
        "project": root.config.project,
        **outcome_fields(root),
        **_merge_fields(root, unmerged_changes),
        "depths": max(job.depth for job in jobs) + 1,
        "child_jobs": [_child_job(job, unmerged_changes, used) for job in jobs if not job.is_root],
        "results": {
            "tasks": _rows(workspace, _by_job(jobs, listed), root.id, in_project),
            "workspace": str(workspace.job_directory(root.id)),
            "final_report": str(workspace.final_report(root)),
        },
    }


def _by_job(jobs: Sequence[Job], workers: Sequence[Worker]) -> dict[str, list[Worker]]:
    by_job: dict[str, list[Worker]] = {job.id: [] for job in jobs}
    for worker in workers:
        by_job.setdefault(worker.job_id, []).append(worker)
    return by_job


def _listed(jobs: Sequence[Job], workers: Sequence[Worker]) -> Sequence[Worker]:
    if len(workers) <= LISTED_WORKERS:
        return workers
    starters = {job.id: job.parent_worker_id for job in jobs}
    jobs_of = {worker.id: worker.job_id for worker in workers}
    names: set[str] = set()
    for worker in listed_workers(workers):
        name: str | None = worker.id
        while name is not None and name not in names:
            names.add(name)
            name = starters.get(jobs_of.get(name, ""))
    return [worker for worker in workers if worker.id in names]


def _omitted(root: Job, workers: Sequence[Worker], count: int) -> dict[str, Any]:
    if not count:
        return {}
    succeeded = tasks_succeeded(workers)
    omitted = {
        "job_id": root.id,
        "count": count,
        "tasks": len(succeeded),
        "tasks_succeeded": sum(succeeded.values()),
        "all": all_workers_call(root.id),
        "pages": worker_pages_call(root.id),
        "results": f"GET /api/v1/jobs/{root.id}/results",
        "file": ALL_WORKERS if root.status.ended else None,
    }
    return {"workers_omitted": omitted}


def _paused(job: Job) -> dict[str, Any] | None:
    pause = job.pause
    if pause is None:
        return None
    fields = {"at": iso(pause.at), "by": pause.by, "running": pause.running, "cause": pause.cause}
    details = {"job_id": pause.job_id, "limit": pause.limit, "until": iso(pause.until)}
    return {**fields, **{name: value for name, value in details.items() if value}}


def _question(question: Question) -> dict[str, Any]:
    return {
        "asked_at": iso(question.asked_at),
        "due_at": iso(question.due_at),
        "decision": question.decision,
        "by": question.by,
        "comment": question.comment,
        "answered_at": iso(question.answered_at),
    }


def _merge_fields(job: Job, unmerged_changes: UnmergedChanges) -> dict[str, Any]:
    missing = [(each, unmerged_changes.merge_command(each, job)) for each in job.facts.lacking]
    missing_rows = [{**asdict(each), **asdict(command)} for each, command in missing]
    outside = unmerged_changes.made_not_in_result(job) if job.status.ended else []
    return {
        "missing": missing_rows,
        "made_not_in_result": [asdict(each) for each in outside],
        "repository_changes": [asdict(each) for each in job.facts.repository_changes],
        "landed": [{**asdict(each), "at": iso(each.at)} for each in job.facts.landed],
    }


def _usage_and_caps(job: Job, used: Mapping[str, Sequence[Usage]]) -> dict[str, Any]:
    return {"usage": usage_fields(used.get(job.id, ())), "caps": caps_of(job.config)}


def _child_job(
    job: Job, unmerged_changes: UnmergedChanges, used: Mapping[str, Sequence[Usage]]
) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "parent_job_id": job.parent_job_id,
        "parent_worker_id": job.parent_worker_id,
        "depth": job.depth,
        "status": job.status,
        "run": job.run,
        "reason": job.reason,
        "paused": _paused(job),
        "request": job.request[:REQUEST_LIMIT],
        "labels": dict(job.config.labels),
        **_usage_and_caps(job, used),
        **outcome_fields(job),
        **_merge_fields(job, unmerged_changes),
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "ended_at": iso(job.ended_at),
    }


def _rows(
    workspace: JobDirectories,
    by_job: dict[str, list[Worker]],
    job_id: str,
    in_project: Collection[TaskKey],
) -> list[dict[str, Any]]:
    ordered = sorted(by_job.get(job_id, ()), key=lambda worker: worker.index)
    return [_row(workspace, by_job, worker, in_project) for worker in ordered]


def _row(
    workspace: JobDirectories,
    by_job: dict[str, list[Worker]],
    worker: Worker,
    in_project: Collection[TaskKey],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "worker_id": worker.id,
        "job_id": worker.job_id,
        "task_id": worker.task_id,
        "status": worker.status,
        "reason": worker.reason,
        "agent": worker.agent,
        "attempts": worker.attempt,
        "started_at": iso(worker.started_at),
        "ended_at": iso(worker.ended_at),
    }
    if worker.question is not None:
        row["question"] = _question(worker.question)
    if worker.attempt or not (worker.status.ended or worker.is_question):
        row["log"] = workspace.log(worker)
    if (worker.job_id, worker.task_id) in in_project:
        row["workdir"] = Workdir.PROJECT
    if kind_of_worker(worker) is NeedKind.ASKED:
        row["asked"] = True
    if worker.chosen is not None:
        row["chosen"] = worker.chosen
    if worker.result is not None:
        row["output"] = worker.result.output[:OUTPUT_LIMIT]
        if is_known(worker.result.usage):
            row["usage"] = usage_fields([worker.result.usage])
        row["files_created"] = list(worker.result.files_created)
        if session := worker.result.session:
            payload = {"id": session.id, "attempt": session.attempt, "resumed": session.resumed}
            row["session"] = payload
        if delivery := worker.result.delivery:
            row["unchanged"] = not delivery.changed
            row["missing"], row["saved"] = list(delivery.missing), list(delivery.saved)
            row["outside"] = list(delivery.outside)
    if worker.child_job_ids:
        row["child_job_id"] = worker.child_job_ids[-1]
        row["child_job_ids"] = list(worker.child_job_ids)
        row["child_results"] = [
            child
            for job_id in worker.child_job_ids
            for child in _rows(workspace, by_job, job_id, in_project)
        ]
    return row
