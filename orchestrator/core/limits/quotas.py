"""Quotas: limits on the size of job trees, and on a key's daily cost and running jobs. Pure.

Days are UTC. Sums per day are stored, and the removal of old jobs does not change them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from types import MappingProxyType

from orchestrator.core.dataclass import dataclass
from orchestrator.core.errors import LimitReached
from orchestrator.core.limits.budgets import amount
from orchestrator.core.model.job import Job, Worker

#: Largest limit. The integer column of a store and a float represent it exactly.
LARGEST_COUNT = 2**31 - 1
#: Largest duration in seconds, about thirty years.
MOST_SECONDS = 1e9
#: Default number of processes that may exist for each slot.
LIVE_PER_RUNNING = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    max_depth: int = 10
    max_workers: int = 100
    max_child_jobs_per_worker: int = 20
    max_child_jobs_per_root: int = 1000
    max_tasks_per_job: int = 10_000
    max_wall_seconds: float = 86_400.0
    #: Limits on agents' usage; None means no limit.
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ancestry:
    """The stored ancestors of a new child job.

    Limits are checked with these ancestors, because a caller could report wrong ones.
    """

    #: The job of the calling worker.
    parent_job: Job
    parent: Worker
    #: The ancestors, from the parent job to the root job.
    ancestors: Sequence[Job]
    #: Digests of the requests and prompts of the calling worker and of the workers above it.
    worker_digests: frozenset[str]
    child_jobs_in_root: int
    workers_in_root: int
    #: The remaining budget of the calling worker's job, by the name of the limit.
    budget: Mapping[str, float] = field(default_factory=dict)
    now: float

    @property
    def root(self) -> Job:
        return self.ancestors[-1]


def what_is_left(line: Ancestry, ceilings: Ceilings) -> dict[str, object]:
    left = left_of(
        line.parent_job,
        ceilings,
        child_jobs_in_root=line.child_jobs_in_root,
        workers_in_root=line.workers_in_root,
        budget=line.budget,
        now=line.now,
        started=len(line.parent.child_job_ids),
    )
    return {**left, "wall_seconds": max(0, round(line.root.wall_left(line.now)))}


def left_of(
    job: Job,
    ceilings: Ceilings,
    *,
    child_jobs_in_root: int,
    workers_in_root: int,
    now: float,
    started: int = 0,
    budget: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, object]:
    """Return the remaining quota of a worker that has started ``started`` child jobs."""
    config = job.config
    allowed = config.enable_recursion and not job.status.ended
    left: dict[str, object] = {
        "depth": max(0, config.max_depth - job.depth) if allowed else 0,
        "child_jobs": max(0, ceilings.max_child_jobs_per_worker - started) if allowed else 0,
        "child_jobs_in_root": (
            max(0, ceilings.max_child_jobs_per_root - child_jobs_in_root) if allowed else 0
        ),
        "wall_seconds": 0 if job.status.ended else max(0, round(job.wall_left(now))),
    }
    if config.max_total_workers is not None:
        more = max(0, config.max_total_workers - workers_in_root)
        left["workers"] = 0 if job.status.ended else more
    for name, rest in budget.items():
        left[name.removeprefix("max_")] = round(rest, 6)
    return left


DAY_SECONDS = 86_400
_PER_DAY = "max_cost_usd_per_day"


@dataclass(frozen=True, kw_only=True, slots=True)
class DaySpent:
    """Cost of one key's jobs on one day. ``day``: days since the epoch."""

    day: int
    key_name: str
    cost_usd: float


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyLimits:
    """Limits of one key. None means no limit."""

    max_cost_usd_per_day: float | None = None
    max_running_jobs: int | None = None
    max_workers: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    #: Name of the limit in ``config.yaml``.
    limit: str
    most: float
    used: float
    #: Time at which more may be used; None if it depends on running jobs.
    free_at: float | None = None

    def __str__(self) -> str:
        free = f", resets at {utc(self.free_at)}" if self.free_at is not None else ""
        used, most = (amount("max_cost_usd", each) for each in (self.used, self.most))
        return f"{self.limit} ({used} of {most} used{free})"


@dataclass(kw_only=True, slots=True)
class Quotas:
    #: Limit on the cost of the whole server per day.
    max_cost_usd_per_day: float | None = None
    keys: Mapping[str, KeyLimits] = field(default_factory=dict)
    _sums: dict[tuple[int, str], float] = field(default_factory=dict)

    def load(self, stored: Iterable[DaySpent]) -> None:
        self._sums |= {(each.day, each.key_name): each.cost_usd for each in stored}

    def of(self, key_name: str) -> KeyLimits:
        return self.keys.get(key_name, _NONE)

    @property
    def limits_days(self) -> bool:
        keys = (each.max_cost_usd_per_day for each in self.keys.values())
        return any(each is not None for each in (self.max_cost_usd_per_day, *keys))

    def limits_day_of(self, key_name: str) -> bool:
        own = self.of(key_name).max_cost_usd_per_day
        return own is not None or self.max_cost_usd_per_day is not None

    def spend(self, key_name: str, cost_usd: float, now: float) -> DaySpent:
        """Add a cost to today's sum of a key. Return the row to store."""
        day = day_of(now)
        self._sums = {at: each for at, each in self._sums.items() if at[0] >= day}
        total = max(0.0, self._sums.get((day, key_name), 0.0) + cost_usd)
        self._sums[day, key_name] = total
        return DaySpent(day=day, key_name=key_name, cost_usd=total)

    def spent(self, now: float, key_name: str | None = None) -> float:
        today = ((name, each) for (day, name), each in self._sums.items() if day == day_of(now))
        return sum(each for name, each in today if key_name in (None, name))

    def day_reached(self, key_name: str, now: float) -> Reached | None:
        """Return the used-up daily limit of the key or of the server; None if there is none."""
        free_at = float((day_of(now) + 1) * DAY_SECONDS)
        limits = (
            (f"limits.{_PER_DAY}", self.max_cost_usd_per_day, self.spent(now)),
            (
                f"api.keys[{key_name}].limits.{_PER_DAY}",
                self.of(key_name).max_cost_usd_per_day,
                self.spent(now, key_name),
            ),
        )
        for limit, most, used in limits:
            if most is not None and used >= most:
                return Reached(limit=limit, most=most, used=used, free_at=free_at)
        return None

    def check_day(self, key_name: str, now: float) -> None:
        """Raise LimitReached if the key may spend nothing more today."""
        reached = self.day_reached(key_name, now)
        if reached is not None:
            raise LimitReached(
                f"daily cost limit reached: {reached}; submit again after that time, or raise the "
                "limit in config.yaml",
                kind="limit-cost-per-day",
                limit=reached.limit,
                most=reached.most,
                used=round(reached.used, 6),
                free_at=reached.free_at,
            )

    def check_running(self, key_name: str, running: int) -> None:
        """Raise LimitReached if the key has its maximum number of unfinished jobs."""
        most = self.of(key_name).max_running_jobs
        if most is not None and running >= most:
            limit = f"api.keys[{key_name}].limits.max_running_jobs"
            raise LimitReached(
                f"job limit reached for key {key_name!r}: {running} of {most} unfinished jobs "
                f"({limit}); retry after the end of a job",
                kind="limit-running-jobs",
                limit=limit,
                most=most,
                used=running,
            )


_NONE = KeyLimits()


def day_of(now: float) -> int:
    return int(now // DAY_SECONDS)


def utc(at: float) -> str:
    """Format a time, such as "2026-11-24 00:00 UTC"."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
