"""The port to the store, which holds the durable state of jobs, workers, and attempts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from orchestrator.core.events import Event, EventKind
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.key_costs_and_jobs import DailyCost
from orchestrator.core.locks.lock_table import Grant, LockLease
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.ports.outbox import OutboxEntry
from orchestrator.core.ports.read_models import (
    FirstFailure,
    JobFilter,
    ListedPage,
    StatusCount,
    TreeSnapshot,
    UsageFilter,
    UsageRow,
    WorkerFilter,
    WorkerPage,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StateChange:
    """The changes of one turn of the supervisor, stored in one transaction."""

    new_jobs: Sequence[Job] = ()
    #: Ids of jobs whose tasks and workers ``new_tasks`` and ``new_workers`` replace.
    replaced_plans: Sequence[str] = ()
    new_tasks: Sequence[tuple[str, int, TaskSpec]] = ()
    new_workers: Sequence[Worker] = ()
    jobs: Sequence[Job] = ()
    workers: Sequence[Worker] = ()
    #: Keys of stored attempts to delete, because they never began: worker and number of each
    #: attempt. ``new_attempts`` may contain attempts with the same keys.
    dropped_attempts: Sequence[tuple[WorkerKey, int]] = ()
    new_attempts: Sequence[Attempt] = ()
    attempts: Sequence[Attempt] = ()
    events: Sequence[Event] = ()
    #: Costs of API keys per day, which replace the stored costs of the same keys and days.
    spent_days: Sequence[DailyCost] = ()
    #: New values of the pause of all jobs; None ends the pause. Only the last value is stored.
    pauses: Sequence[Pause | None] = ()
    #: Messages to external receivers about some of the events.
    outbox: Sequence[OutboxEntry] = ()
    #: Run times of ended tasks: digests of the tasks' names, with seconds. An observer writes the
    #: run times to a file; the database does not store run times.
    run_times: Sequence[tuple[str, float]] = ()

    @property
    def durable(self) -> bool:
        """True if ``save`` must write the change to the disk before it returns.

        A durable change survives a power loss. Changes on which a caller relies are durable: an
        accepted job, the end of a job, and a pause. The start and the end of an attempt are not
        durable, because an attempt can be repeated.
        """
        return bool(self.new_jobs or self.jobs or self.pauses)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """A root job with its descendants. Workers are sorted by job and index."""

    jobs: Sequence[Job]
    #: Tasks by job id, in task order.
    tasks: Mapping[str, Sequence[TaskSpec]]
    workers: Sequence[Worker]
    #: The planners of jobs that have a planner; not among ``workers``.
    planners: Sequence[Worker] = ()
    #: Reviewers; not among ``workers``.
    reviewers: Sequence[Worker] = ()
    #: Attempts in order of (worker, number).
    attempts: Sequence[Attempt] = ()
    last_seq: int = 0

    @property
    def root(self) -> Job:
        return next(job for job in self.jobs if job.is_root)

    @property
    def advisers(self) -> Sequence[Worker]:
        """Planners and reviewers, which run no task."""
        return (*self.planners, *self.reviewers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    jobs: Sequence[Job]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    #: Cost in US dollars; None: the cost of no agent is known.
    usd: float | None = None
    #: True if a part of the cost was computed from a price table.
    estimated: bool = False
    #: True if the cost of some agents is unknown or incomplete.
    partial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreStats:
    jobs: Mapping[str, int]
    workers: Mapping[str, int]
    attempts: int
    cost: Cost


class Store(Protocol):
    """Durable state. One thread writes; any thread may read.

    Every method raises StoreError if the store cannot be read or written.
    """

    def open(self) -> None:
        """Create or migrate the schema. Idempotent."""

    def close(self) -> None: ...

    def save(self, change: StateChange) -> None:
        """Store the whole change or nothing, in one transaction.

        After ``save`` has returned, a crash of this process loses nothing. A power loss can lose
        changes of the last hundredths of a second, except ``durable`` changes.
        """

    def forget(self, root_ids: Collection[str]) -> None:
        """Delete root jobs with their descendants. Idempotent.

        Skip ids of child jobs, and of jobs that have not ended.
        """

    def job(self, job_id: str) -> Job | None: ...

    def ended(self, before: float, limit: int) -> Sequence[Job]:
        """Return at most ``limit`` root jobs that ended before ``before``, latest end first."""

    def find_idempotent(self, submitted_by: str, idempotency_key: str) -> Job | None: ...

    def tasks(self, job_id: str, names: Collection[str] | None = None) -> Sequence[TaskSpec]:
        """Return tasks of a job, in task order. ``names``: ids of the tasks; None: all tasks."""

    def task(self, job_id: str, task_id: str) -> TaskSpec | None: ...

    def workers(self, job_id: str) -> Sequence[Worker]:
        """Return the workers of one job, in order of index."""

    def recent_usage(self, agent: str, most: int) -> Sequence[Usage]:
        """Return the usage of an agent's latest ``most`` successful workers, newest first."""

    def planner(self, job_id: str) -> Worker | None:
        """Return the worker that plans the job's tasks; None if the job has no planner.

        ``workers`` does not return the planner.
        """

    def reviewers(self, job_id: str) -> Sequence[Worker]:
        """Return the reviewers of the job's candidates. ``workers`` does not return reviewers."""

    def workers_in_tree(self, root_id: str) -> Sequence[Worker]:
        """Return the workers of a root job and of its descendants, by index in each job."""

    def worker(self, key: WorkerKey) -> Worker | None: ...

    def attempts(self, key: WorkerKey) -> Sequence[Attempt]: ...

    def attempts_of(self, root_id: str, worker_ids: Collection[str]) -> Sequence[Attempt]:
        """Return the attempts of some workers of a tree, in order of worker and number."""

    def latest_event(self, root_id: str, job_id: str, kind: EventKind) -> Event | None: ...

    def attempt_by_token(self, token_hash: str) -> Attempt | None:
        """Return the running attempt whose API key has this hash; None if no such attempt runs."""

    def tree(self, root_id: str, job_ids: Collection[str] | None = None) -> Tree | None:
        """Return the tree of a root job, with attempts; None if no job is found.

        ``job_ids``: ids of the jobs to include; None: all jobs of the tree.
        """

    def snapshot(self, root_id: str) -> TreeSnapshot | None:
        """Return a root job's ``TreeSnapshot``; None if the root job does not exist."""

    def jobs_of(self, job_filter: JobFilter, offset: int, limit: int) -> Page:
        """Return a page of the jobs that match the filter, newest first."""

    def listed(self, job_filter: JobFilter, offset: int, limit: int) -> ListedPage:
        """Return the same page as ``jobs_of``, but only the id and the root id of each job."""

    def worker_page(
        self, root_id: str, worker_filter: WorkerFilter, offset: int, limit: int, now: float
    ) -> WorkerPage:
        """Return a page of one job's workers.

        ``now``: the present time, to sort running workers by their durations so far.
        """

    def status_counts(self, root_ids: Collection[str]) -> Mapping[str, Sequence[StatusCount]]:
        """Return the number and usage of the workers in the trees of root jobs, by root job id.

        Each value has one ``StatusCount`` for each job of the tree and each status of its workers.
        """

    def first_failures(self, job_ids: Collection[str]) -> Mapping[str, FirstFailure]:
        """Return each job's first failed worker in task order, by job id.

        Jobs without a failed worker are omitted.
        """

    def usage(self, usage_filter: UsageFilter) -> Sequence[UsageRow]:
        """Return one row for each value of ``usage_filter.by`` in each bucket, in order of time."""

    def jobs_with_needs(
        self, root_ids: Collection[str] | None, submitted_by: str | None
    ) -> Sequence[tuple[Job, Sequence[Worker]]]:
        """Return the jobs for which a person may have to do something (see ``Need``).

        Each job comes with the workers that may have a need. If one worker of a task may have a
        need, all workers of the task are included.

        ``root_ids``: only jobs of these trees; None: all trees. ``submitted_by``: only root jobs of
        this caller, with their descendants; None: all.
        """

    def version(self, root_id: str) -> int:
        """Return a number that grows with each change of the jobs or workers of a root job's tree.

        In each process, the number starts at 0.
        """

    def last_seq(self, root_id: str) -> int:
        """Return the number of a root job's latest event; 0 if the job has no event."""

    def day_spending(self, day: int) -> Sequence[DailyCost]:
        """Return the cost of each key's jobs on one day. ``day``: days since the epoch, in UTC."""

    def pause(self) -> Pause | None:
        """Return the pause of all jobs; None if not all jobs are paused."""

    def unfinished(self) -> Sequence[str]:
        """Return the ids of root jobs that have not ended."""

    def events(self, root_id: str, after: int, limit: int) -> Sequence[Event]:
        """Return at most ``limit`` events with ``seq`` > ``after``, in order of ``seq``."""

    def take_leases(self, owner: Attempt, names: Sequence[str], at: float) -> Grant:
        """Grant all locks ``names`` to an attempt, or none of them, in one transaction.

        Several servers may request the same locks at the same time. Locks that the attempt already
        holds stay held. Only the thread that calls ``save`` may call this method. Leases are
        durable.
        """

    def end_leases(self, key: WorkerKey, names: Collection[str]) -> None:
        """End a worker's leases of these locks. Leases also end with their attempt. Idempotent."""

    def leases(self) -> Sequence[LockLease]:
        """Return the active leases, in the order of their numbers."""

    def stats(self) -> StoreStats: ...

    def check(self) -> None:
        """Raise StoreError if the database cannot be read, or accepts no changes."""


#: Called with each stored change. A failure does not affect jobs.
Observer = Callable[[StateChange], None]
