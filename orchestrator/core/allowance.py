"""What a tree may still become: counted from the server's own records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from orchestrator.core.model import Job, Worker

#: More than a store's integer column or a float holds exactly is no sensible limit.
LARGEST_COUNT = 2**31 - 1
#: Some thirty years.
MOST_SECONDS = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """What no request may exceed."""

    max_depth: int = 10
    max_workers: int = 100
    max_child_jobs_per_worker: int = 20
    max_child_jobs_per_root: int = 1000
    max_tasks_per_job: int = 10_000
    max_wall_seconds: float = 86_400.0
    #: Of what agents use; None: any.
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ancestry:
    """The records of a child job's ancestors; never what the caller says of them."""

    #: The job whose worker asks.
    parent_job: Job
    parent: Worker
    #: From the parent job up to the root job.
    ancestors: Sequence[Job]
    #: Digests of what the asking worker and the workers above it were told to do.
    worker_digests: frozenset[str]
    child_jobs_in_root: int
    workers_in_root: int
    #: What the job of the asking worker may still use, by the name of the limit.
    budget: Mapping[str, float] = field(default_factory=dict)
    now: float

    @property
    def root(self) -> Job:
        return self.ancestors[-1]


def what_is_left(line: Ancestry, ceilings: Ceilings) -> dict[str, object]:
    """What the asking worker may still start."""
    left = left_of(
        line.parent_job,
        ceilings,
        child_jobs_in_root=line.child_jobs_in_root,
        workers_in_root=line.workers_in_root,
        budget=line.budget,
        now=line.now,
        started=len(line.parent.child_job_ids),
    )
    return {**left, "wall_seconds": max(0, round(line.root.wall_end - line.now))}


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
    """What a worker of the job that has ``started`` so many child jobs may still start."""
    config = job.config
    allowed = config.enable_recursion and not job.status.ended
    left: dict[str, object] = {
        "depth": max(0, config.max_depth - job.depth) if allowed else 0,
        "child_jobs": max(0, ceilings.max_child_jobs_per_worker - started) if allowed else 0,
        "child_jobs_in_root": (
            max(0, ceilings.max_child_jobs_per_root - child_jobs_in_root) if allowed else 0
        ),
        "wall_seconds": 0 if job.status.ended else max(0, round(job.wall_end - now)),
    }
    if config.max_total_workers is not None:
        more = max(0, config.max_total_workers - workers_in_root)
        left["workers"] = 0 if job.status.ended else more
    for name, amount in budget.items():
        left[name.removeprefix("max_")] = round(amount, 6)
    return left
