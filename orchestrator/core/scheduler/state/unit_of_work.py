"""Unit of work: the state of all unfinished job trees, and the changes since the previous turn.

Every state change goes through this module, which checks the transition and records the change.
"""

from collections.abc import Iterable
from typing import Any

from orchestrator.core.events import OF_PLANNER, OF_REVIEWER, Event, EventKind
from orchestrator.core.lazy_dataclass import changed, dataclass
from orchestrator.core.limits.key_costs_and_jobs import DailyCost
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.job import Attempt, Job, TaskSpec, WaitingFor, Worker, WorkerKey
from orchestrator.core.model.states import (
    JobStatus,
    WorkerStatus,
    check_job_move,
    check_worker_move,
)
from orchestrator.core.ports import StateChange, Tree

AttemptKey = tuple[WorkerKey, int]


@dataclass(slots=True)
class _Pending:
    """Changes that the next ``take`` returns. Only the latest value of each row is stored."""

    new_jobs: dict[str, None]
    new_tasks: list[tuple[str, int, TaskSpec]]
    new_workers: dict[WorkerKey, None]
    jobs: dict[str, None]
    workers: dict[WorkerKey, None]
    new_attempts: dict[AttemptKey, None]
    attempts: dict[AttemptKey, None]
    events: list[Event]
    spent_days: dict[tuple[int, str], DailyCost]
    #: New values of the pause of all jobs. Only the last value counts.
    pauses: list[Pause | None]
    replaced_plans: dict[str, None]
    dropped_attempts: dict[AttemptKey, None]
    run_times: list[tuple[str, float]]

    @classmethod
    def empty(cls) -> "_Pending":
        return cls({}, [], {}, {}, {}, {}, {}, [], {}, [], {}, {}, [])


class UnitOfWork:
    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.workers: dict[WorkerKey, Worker] = {}
        #: The running attempt of each worker that has one.
        self.attempts: dict[WorkerKey, Attempt] = {}
        self._ended_attempts: dict[AttemptKey, Attempt] = {}
        self._last_seq: dict[str, int] = {}
        self._pending = _Pending.empty()

    def load(self, tree: Tree, root_id: str) -> None:
        """Load a stored tree, without recording a change."""
        self.jobs.update((job.id, job) for job in tree.jobs)
        all_workers = (*tree.workers, *tree.advisers)
        self.workers.update((worker.key, worker) for worker in all_workers)
        running = (attempt for attempt in tree.attempts if attempt.ended_at is None)
        self.attempts.update((attempt.key, attempt) for attempt in running)
        self._last_seq[root_id] = tree.last_seq

    def add_job(self, job: Job, tasks: Iterable[TaskSpec], workers: Iterable[Worker]) -> None:
        self.jobs[job.id] = job
        self._pending.new_jobs[job.id] = None
        self.add_tasks(job, tasks, workers)

    def add_tasks(self, job: Job, tasks: Iterable[TaskSpec], workers: Iterable[Worker]) -> None:
        self._pending.new_tasks += [(job.id, index, task) for index, task in enumerate(tasks)]
        for worker in workers:
            self.workers[worker.key] = worker
            self._pending.new_workers[worker.key] = None

    def replace_plan(
        self,
        job: Job,
        before: Iterable[WorkerKey],
        tasks: Iterable[TaskSpec],
        workers: Iterable[Worker],
    ) -> None:
        """Replace the tasks and workers of a job.

        ``before``: the job's present workers, none of which has started.
        """
        pending = self._pending
        for key in before:
            del self.workers[key]
            pending.workers.pop(key, None)
            pending.new_workers.pop(key, None)
        pending.new_tasks = [each for each in pending.new_tasks if each[0] != job.id]
        if job.id not in pending.new_jobs:
            pending.replaced_plans[job.id] = None
        self.add_tasks(job, tasks, workers)

    def update_job(self, job_id: str, **changes: Any) -> Job:
        job = self.jobs[job_id] = changed(self.jobs[job_id], **changes)
        if job_id not in self._pending.new_jobs:
            self._pending.jobs[job_id] = None
        return job

    def move_job(self, job_id: str, status: JobStatus, **changes: Any) -> Job:
        check_job_move(self.jobs[job_id].status, status)
        return self.update_job(job_id, status=status, **changes)

    def update_worker(self, key: WorkerKey, **changes: Any) -> Worker:
        if "reason" in changes:
            # ``waiting_for`` belongs to the former reason, so a new reason clears ``waiting_for``.
            # The caller may set a new value.
            changes.setdefault("waiting_for", None)
        worker = self.workers[key] = changed(self.workers[key], **changes)
        if key not in self._pending.new_workers:
            self._pending.workers[key] = None
        return worker

    def move_worker(self, key: WorkerKey, status: WorkerStatus, **changes: Any) -> Worker:
        check_worker_move(self.workers[key].status, status)
        return self.update_worker(key, status=status, **changes)

    def hold_worker(self, key: WorkerKey, waiting: WaitingFor, reason: str) -> None:
        """Record why a worker does not start. Called in every turn. Idempotent."""
        worker = self.workers[key]
        if (worker.waiting_for, worker.reason) != (waiting, reason):
            self.update_worker(key, reason=reason, waiting_for=waiting)

    def begin_attempt(self, attempt: Attempt) -> None:
        self.attempts[attempt.key] = attempt
        self._pending.new_attempts[attempt.key, attempt.number] = None

    def drop_attempt(self, key: WorkerKey) -> None:
        """Remove a recorded attempt that never began."""
        row = key, self.attempts.pop(key).number
        self._pending.attempts.pop(row, None)
        if row in self._pending.new_attempts:
            del self._pending.new_attempts[row]
        else:
            self._pending.dropped_attempts[row] = None

    def update_attempt(self, key: WorkerKey, **changes: Any) -> Attempt:
        attempt = self.attempts[key] = changed(self.attempts[key], **changes)
        if (key, attempt.number) not in self._pending.new_attempts:
            self._pending.attempts[key, attempt.number] = None
        return attempt

    def end_attempt(self, key: WorkerKey, **changes: Any) -> Attempt:
        attempt = self.update_attempt(key, **changes)
        del self.attempts[key]
        self._ended_attempts[key, attempt.number] = attempt
        return attempt

    def amend_attempt(self, attempt: Attempt) -> None:
        self._ended_attempts[attempt.key, attempt.number] = attempt
        if (attempt.key, attempt.number) not in self._pending.new_attempts:
            self._pending.attempts[attempt.key, attempt.number] = None

    def note_day(self, spent: DailyCost) -> None:
        self._pending.spent_days[spent.day, spent.key_name] = spent

    def note_pause(self, pause: Pause | None) -> None:
        """Record the pause of all jobs, or its end (None)."""
        self._pending.pauses.append(pause)

    def note_run_times(self, times: Iterable[tuple[str, float]]) -> None:
        self._pending.run_times += times

    def emit(
        self,
        kind: EventKind,
        job: Job,
        at: float,
        worker_id: str | None = None,
        **data: object,
    ) -> None:
        worker = self.workers.get(WorkerKey(job.root_id, worker_id)) if worker_id else None
        if worker is not None and worker.is_adviser:
            kind = (OF_PLANNER if worker.is_planner else OF_REVIEWER).get(kind, kind)
        seq = self._last_seq.get(job.root_id, 0) + 1
        self._last_seq[job.root_id] = seq
        self._pending.events.append(
            Event(
                root_id=job.root_id,
                seq=seq,
                job_id=job.id,
                kind=kind,
                at=at,
                worker_id=worker_id,
                data=data,
            )
        )

    def take(self) -> StateChange:
        """Return all changes since the previous call, for one transaction, and reset them."""
        pending, self._pending = self._pending, _Pending.empty()
        ended, self._ended_attempts = self._ended_attempts, {}
        return StateChange(
            new_jobs=[self.jobs[job_id] for job_id in pending.new_jobs],
            replaced_plans=list(pending.replaced_plans),
            new_tasks=pending.new_tasks,
            new_workers=[self.workers[key] for key in pending.new_workers],
            jobs=[self.jobs[job_id] for job_id in pending.jobs],
            workers=[self.workers[key] for key in pending.workers],
            dropped_attempts=list(pending.dropped_attempts),
            new_attempts=[self._latest_record(key, ended) for key in pending.new_attempts],
            attempts=[self._latest_record(key, ended) for key in pending.attempts],
            events=pending.events,
            spent_days=list(pending.spent_days.values()),
            pauses=pending.pauses,
            run_times=pending.run_times,
        )

    def _latest_record(self, key: AttemptKey, ended: dict[AttemptKey, Attempt]) -> Attempt:
        record = ended.get(key)
        return self.attempts[key[0]] if record is None else record

    def forget(self, root_id: str, job_ids: Iterable[str], keys: Iterable[WorkerKey]) -> None:
        for job_id in job_ids:
            del self.jobs[job_id]
        for key in keys:
            del self.workers[key]
        del self._last_seq[root_id]
