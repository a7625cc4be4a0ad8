"""The port to the store, which keeps the state."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.events import Event
from orchestrator.core.limits.quotas import DaySpent
from orchestrator.core.locks.lease import Grant, Lease
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """All changes of one turn of the supervisor; stored in one transaction."""

    new_jobs: Sequence[Job] = ()
    new_tasks: Sequence[tuple[str, int, TaskSpec]] = ()
    new_workers: Sequence[Worker] = ()
    jobs: Sequence[Job] = ()
    workers: Sequence[Worker] = ()
    new_attempts: Sequence[Attempt] = ()
    attempts: Sequence[Attempt] = ()
    events: Sequence[Event] = ()
    #: Sums, which replace the stored ones.
    spent_days: Sequence[DaySpent] = ()

    @property
    def durable(self) -> bool:
        """True if the save waits until the change survives a loss of power, not only a crash.

        True for what was promised to a caller: an accepted job, its end. Starts and ends of
        attempts reach the disk a moment later: after a loss of power no attempt runs any more, and
        work that ended in its last moment is repeated.
        """
        return bool(self.new_jobs or self.jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """A root job with all its descendants. Workers are in the order of their jobs and index."""

    jobs: Sequence[Job]
    #: By job id, in task order.
    tasks: Mapping[str, Sequence[TaskSpec]]
    workers: Sequence[Worker]
    #: The planners of those jobs that have one; not among ``workers``.
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
        """Planners and reviewers: workers that run no task."""
        return (*self.planners, *self.reviewers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    jobs: Sequence[Job]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Cost of agents, as far as known."""

    #: None: of none of them.
    usd: float | None = None
    #: A part of it was computed from a price table.
    estimated: bool = False
    #: The cost of some of them is unknown or incomplete.
    partial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreStats:
    """Counts over everything in the store."""

    jobs: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 0
    cost: Cost = field(default_factory=Cost)


class Store(Protocol):
    """Durable state. Writes come from one thread; reads from any.

    Every method raises StoreError if the store cannot be read or written.
    """

    def open(self) -> None:
        """Create or migrate the schema. Idempotent."""

    def close(self) -> None: ...

    def save(self, change: Change) -> None:
        """Store all of a change or nothing of it.

        After it returns, a crash of this process loses nothing of the change. A loss of power loses
        nothing of a ``durable`` change, nor of other changes some hundredths of a second later.
        """

    def forget(self, root_ids: Collection[str]) -> None:
        """Delete root jobs with all that belongs to them. Idempotent.

        Jobs that have not ended are skipped, and so are child jobs.
        """

    def job(self, job_id: str) -> Job | None: ...

    def ended(self, before: float, limit: int) -> Sequence[Job]:
        """Return root jobs that had ended by then, the latest first."""

    def find_idempotent(self, submitted_by: str, idempotency_key: str) -> Job | None: ...

    def list_jobs(
        self,
        *,
        status: str | None,
        parent: str | None,
        root: str | None,
        depth: int | None = None,
        submitted_by: str | None = None,
        offset: int,
        limit: int,
    ) -> Page:
        """Newest first. ``parent`` is a job id: its child jobs; ``root``: only that tree.

        ``submitted_by``: only root jobs submitted so, with all below them.
        """

    def tasks(self, job_id: str) -> Sequence[TaskSpec]:
        """In task order."""

    def workers(self, job_id: str) -> Sequence[Worker]:
        """Of one job, in order of index."""

    def recent_usage(self, agent: str, most: int) -> Sequence[Usage]:
        """Return the usage of an agent's latest successful workers, the last one first."""

    def planner(self, job_id: str) -> Worker | None:
        """Return the planner of the job's tasks; it is in no other list."""

    def reviewers(self, job_id: str) -> Sequence[Worker]:
        """Return the reviewers of the job's candidates; they are in no other list."""

    def workers_in_tree(self, root_id: str) -> Sequence[Worker]:
        """Of a root job and all its descendants, in order of index within each job."""

    def worker(self, key: WorkerKey) -> Worker | None: ...

    def attempts(self, key: WorkerKey) -> Sequence[Attempt]: ...

    def attempt_by_token(self, token_hash: str) -> Attempt | None:
        """Return the attempt that has this key, while the attempt runs; None once it has ended."""

    def tree(self, root_id: str, job_ids: Collection[str] | None = None) -> Tree | None:
        """The tree of a root job, attempts included; with ``job_ids``, only these jobs of it."""

    def day_spending(self, day: int) -> Sequence[DaySpent]:
        """Return the cost of each key's jobs on one day, which counts from the epoch, UTC."""

    def unfinished(self) -> Sequence[str]:
        """Ids of root jobs that have not ended."""

    def events(self, root_id: str, after: int, limit: int) -> Sequence[Event]:
        """Return events in order of ``seq``, those with ``seq`` > ``after``."""

    def take_leases(self, owner: Attempt, names: Sequence[str], at: float) -> Grant:
        """Grant an attempt all of these locks or none, in one step, even if others ask, too.

        Locks that it holds already remain. Written like a change: from one thread, and durable.
        """

    def end_leases(self, key: WorkerKey, names: Collection[str]) -> None:
        """End leases. Idempotent. Leases also end automatically with their attempt."""

    def leases(self) -> Sequence[Lease]:
        """Return the active leases, by lock name: those whose attempts run."""

    def stats(self) -> StoreStats: ...

    def check(self) -> None:
        """Raise StoreError if the database cannot be read, or accepts no changes."""


#: Called with stored changes; it may fail without harming a job.
Observer = Callable[[Change], None]
