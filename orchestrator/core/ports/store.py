"""The port to where state is kept."""

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
    """All that one turn of the supervisor changes; stored in one transaction."""

    new_jobs: Sequence[Job] = ()
    new_tasks: Sequence[tuple[str, int, TaskSpec]] = ()
    new_workers: Sequence[Worker] = ()
    jobs: Sequence[Job] = ()
    workers: Sequence[Worker] = ()
    new_attempts: Sequence[Attempt] = ()
    attempts: Sequence[Attempt] = ()
    events: Sequence[Event] = ()
    #: Sums, which replace those stored before.
    spent_days: Sequence[DaySpent] = ()

    @property
    def durable(self) -> bool:
        """Whether it is waited for until it survives a loss of power, not only a crash.

        What was promised to a caller is: a job taken in, its end. That an attempt began or ended
        is on the disk a moment later: after a loss of power nothing runs any more, and work that
        ended in its last moment is done again.
        """
        return bool(self.new_jobs or self.jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """A root job with all its descendants. Workers are in the order of their jobs and index."""

    jobs: Sequence[Job]
    #: By job id, in task order.
    tasks: Mapping[str, Sequence[TaskSpec]]
    workers: Sequence[Worker]
    #: The workers that made the tasks, of those jobs that had one; not among ``workers``.
    planners: Sequence[Worker] = ()
    #: Those that compare candidates, or did; not among ``workers``.
    reviewers: Sequence[Worker] = ()
    #: Attempts in order of (worker, number).
    attempts: Sequence[Attempt] = ()
    last_seq: int = 0

    @property
    def root(self) -> Job:
        return next(job for job in self.jobs if job.is_root)

    @property
    def advisers(self) -> Sequence[Worker]:
        """Those that carry out no task."""
        return (*self.planners, *self.reviewers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    jobs: Sequence[Job]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What agents have cost, as far as it is known."""

    #: None: of none of them.
    usd: float | None = None
    #: A part of it was computed from a price table.
    estimated: bool = False
    #: What some of them cost is not known, or not the whole of it.
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

    Every method raises StoreError when the store cannot be read or written.
    """

    def open(self) -> None:
        """Create or migrate the schema. Idempotent."""

    def close(self) -> None: ...

    def save(self, change: Change) -> None:
        """Store all of a change or nothing of it.

        When it returns, a crash of this process loses nothing of it, and a loss of power nothing
        of a ``durable`` one; of others nothing some hundredths of a second later.
        """

    def forget(self, root_ids: Collection[str]) -> None:
        """Delete root jobs with all that belongs to them. Idempotent.

        Those that have not ended are left, and so are all descendants of others.
        """

    def job(self, job_id: str) -> Job | None: ...

    def ended(self, before: float, limit: int) -> Sequence[Job]:
        """Root jobs that had ended by then, the latest first."""

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
        """What the latest workers of an agent that succeeded have used, the last one first."""

    def planner(self, job_id: str) -> Worker | None:
        """The worker that makes the job's tasks, or made them; it is in no other list."""

    def reviewers(self, job_id: str) -> Sequence[Worker]:
        """The workers that compare the job's candidates, or did; they are in no other list."""

    def workers_in_tree(self, root_id: str) -> Sequence[Worker]:
        """Of a root job and all its descendants, in order of index within each job."""

    def worker(self, key: WorkerKey) -> Worker | None: ...

    def attempts(self, key: WorkerKey) -> Sequence[Attempt]: ...

    def attempt_by_token(self, token_hash: str) -> Attempt | None:
        """The attempt that this key belongs to, while it runs; None once it has ended."""

    def tree(self, root_id: str, job_ids: Collection[str] | None = None) -> Tree | None:
        """The tree of a root job, attempts included; with ``job_ids``, only these jobs of it."""

    def day_spending(self, day: int) -> Sequence[DaySpent]:
        """What the jobs of each key cost on one day, which counts from the epoch, UTC."""

    def unfinished(self) -> Sequence[str]:
        """Ids of root jobs that have not ended."""

    def events(self, root_id: str, after: int, limit: int) -> Sequence[Event]:
        """In order of ``seq``, those with ``seq`` > ``after``."""

    def take_leases(self, owner: Attempt, names: Sequence[str], at: float) -> Grant:
        """Give an attempt all of these locks or none, in one step, whoever else asks.

        What it holds already it keeps. Written like a change: from one thread, and durable.
        """

    def end_leases(self, key: WorkerKey, names: Collection[str]) -> None:
        """Idempotent. Leases also end by themselves, with their attempt."""

    def leases(self) -> Sequence[Lease]:
        """Those that stand, by name: their attempts run."""

    def stats(self) -> StoreStats: ...

    def check(self) -> None:
        """Raise StoreError where nothing can be read, or the database takes no changes."""


#: Something that is told of what was stored; it may fail without harming a job.
Observer = Callable[[Change], None]
