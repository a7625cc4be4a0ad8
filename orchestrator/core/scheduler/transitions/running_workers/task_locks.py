"""Claims: the locks that tasks name in ``locks``.

A worker holds its claims during each attempt, until the attempt's child jobs have ended.
"""

from collections.abc import Sequence

from orchestrator.core.events import EventKind
from orchestrator.core.locks.lock_table import LockKind, Party
from orchestrator.core.model.job import Job, TaskSpec, WaitingFor, Worker, WorkerKey
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker


class TaskLocks:
    """Claims of tasks. A worker acquires all its claims together, when it starts."""

    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._locks = trees.locks

    def acquire(self, worker: Worker, now: float) -> bool:
        """Acquire all claims of a worker, or none. Return True if the worker holds all its claims.

        If the result is False, the reason for the wait is recorded.
        """
        # A worker keeps its claims while child jobs of its previous attempt run.
        if self._locks.holds_claim(worker.key):
            return True
        names = self._trees.task_of(worker).locks
        why = self._locks.claim(self._trees.party_of(worker), names, now)
        if why:
            waiting = WaitingFor(WaitKind.LOCK, ", ".join(names))
            self._unit_of_work.hold_worker(worker.key, waiting, why)
            return False
        self._emit(EventKind.LOCK_TAKEN, worker, names, now)
        return True

    def step_back(self, worker: Worker) -> None:
        """Remove the worker's claims from the lock queue, so that other requests come first.

        Call this if something other than a lock delays the worker's start.
        """
        self._locks.step_back(worker.key)

    def release_claims(self, worker: Worker, now: float) -> None:
        """Release the claims of an ended worker. Idempotent."""
        self._locks.cancel_claim(worker.key)
        self._release(worker, now)

    def release_for_retry(self, worker: Worker, unfinished: UnfinishedWorker, now: float) -> None:
        """Release a retried worker's claims until its next attempt.

        If child jobs of the previous attempt still run, the worker keeps its claims, because they
        also protect the work of these child jobs. ``children_ended`` releases the claims later.
        """
        if not unfinished.open_children and self._release(worker, now):
            self._expect(worker)

    def children_ended(self, worker: Worker, now: float) -> None:
        """Release the claims of a worker that waits for a retry.

        Call this after the worker's last child job has ended.
        """
        if worker.status is WorkerStatus.PENDING and self._release(worker, now):
            self._expect(worker)

    def restore_claim(self, worker: Worker, unfinished: UnfinishedWorker, now: float) -> None:
        names = self._trees.task_of(worker).locks
        if names and (worker.status is not WorkerStatus.PENDING or unfinished.open_children):
            self._locks.hold_claim(self._trees.party_of(worker), names, now)

    def check(self, job: Job, tasks: Sequence[TaskSpec]) -> None:
        """Raise Deadlock if a task of ``job`` needs a lock of a worker that waits for ``job``.

        Do nothing if ``job`` is a root job.
        """
        if job.parent_key is None or not any(task.locks for task in tasks):
            return
        parent = self._trees.party_of(self._unit_of_work.workers[job.parent_key])
        for task in tasks:
            if task.locks:
                self._locks.check(_party_below(parent, job, task), task.locks)

    def _release(self, worker: Worker, now: float) -> bool:
        names = self._locks.release_claim(worker.key)
        if names:
            self._emit(EventKind.LOCK_RELEASED, worker, names, now)
        return bool(names)

    def _expect(self, worker: Worker) -> None:
        if not self._trees.job_of(worker).is_root:
            names = self._trees.task_of(worker).locks
            self._locks.expect(self._trees.party_of(worker), names)

    def _emit(self, kind: EventKind, worker: Worker, names: Sequence[str], now: float) -> None:
        payload = {"names": list(names), "lock": str(LockKind.CLAIM)}
        self._unit_of_work.emit(kind, self._trees.job_of(worker), now, worker.id, **payload)


def _party_below(parent: Party, job: Job, task: TaskSpec) -> Party:
    key, task_id = WorkerKey(job.root_id, f"new task {task.id}"), (job.id, task.id)
    return Party(
        key=key,
        job_id=job.id,
        line=parent.line | {key},
        tasks=parent.tasks | {task_id},
        task=task_id,
    )
