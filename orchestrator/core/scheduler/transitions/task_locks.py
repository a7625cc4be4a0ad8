"""Locks that tasks name (``locks``): claims from the start of a worker to its end."""

from collections.abc import Sequence

from orchestrator.core.events import EventKind
from orchestrator.core.locks.lock_table import LockKind, Party
from orchestrator.core.model.job import Job, TaskSpec, WaitingFor, Worker, WorkerKey
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker


class TaskLocks:
    """Claims of tasks (``locks``).

    All claims of a worker are acquired together when the worker starts, and held until the worker
    ends.
    """

    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._locks = trees.locks

    def lacks(self, worker: Worker, now: float) -> bool:
        """Acquire the worker's claims. Return True if the worker has to wait for them."""
        names = self._trees.task_of(worker).locks
        # A worker keeps its claims while child jobs of its previous attempt run.
        if not names or self._locks.holds_claim(worker.key):
            return False
        why = self._locks.claim(self._trees.party_of(worker), names, now)
        if why:
            waiting = WaitingFor(WaitKind.LOCK, ", ".join(names))
            self._unit_of_work.hold_worker(worker.key, waiting, why)
            return True
        self._emit(EventKind.LOCK_TAKEN, worker, names, now)
        return False

    def step_back(self, worker: Worker) -> None:
        """Let other workers acquire the claims first, because this worker cannot start yet for
        another reason.
        """
        self._locks.step_back(worker.key)

    def done(self, worker: Worker, now: float) -> None:
        """Release the claims of an ended worker. Idempotent."""
        self._locks.forgo(worker.key)
        self._release(worker, now)

    def begins_again(self, worker: Worker, unfinished: UnfinishedWorker, now: float) -> None:
        """Release a retried worker's claims until its next attempt.

        The claims stay while child jobs of the previous attempt run, because the child jobs
        work under the claims.
        """
        if not unfinished.open_children and self._release(worker, now):
            self._expect(worker)

    def children_ended(self, worker: Worker, now: float) -> None:
        """Release the claims of a worker that waits for a retry, after its last child job has
        ended.
        """
        if worker.status is WorkerStatus.PENDING and self._release(worker, now):
            self._expect(worker)

    def found(self, worker: Worker, unfinished: UnfinishedWorker, now: float) -> None:
        """Restore the claims of a worker from its record, after a restart."""
        names = self._trees.task_of(worker).locks
        if names and (worker.status is not WorkerStatus.PENDING or unfinished.open_children):
            self._locks.hold_claim(self._trees.party_of(worker), names, now)

    def check(self, job: Job, tasks: Sequence[TaskSpec]) -> None:
        """Raise Deadlock if a child job would wait for a worker that waits for the child job."""
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
    """Return a future worker of the requested job, with its ancestors."""
    key, of_task = WorkerKey(job.root_id, f"new task {task.id}"), (job.id, task.id)
    return Party(
        key=key,
        job_id=job.id,
        line=parent.line | {key},
        tasks=parent.tasks | {of_task},
        task=of_task,
    )
