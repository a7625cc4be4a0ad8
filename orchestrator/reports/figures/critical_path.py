"""The longest chain of work in a job that cannot run in parallel.

A task follows its dependencies. A worker contains its child jobs: its share is its own work plus
the critical paths of its child jobs; of child jobs that ran in parallel, only the longest counts.
With any number of slots, a job takes at least as long as its critical path.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from orchestrator.core.model.job import Job, Worker
from orchestrator.reports.figures.job_tree import Family, overlap_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class PathStep:
    """A worker on the critical path, with the seconds of its own work."""

    worker_id: str
    job_id: str
    task_id: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CriticalPath:
    """Steps in the order of work; a worker comes before the child jobs it contains."""

    seconds: float = 0.0
    steps: tuple[PathStep, ...] = ()

    def then(self, after: "CriticalPath") -> "CriticalPath":
        return CriticalPath(seconds=self.seconds + after.seconds, steps=self.steps + after.steps)

    @property
    def longest_step(self) -> PathStep | None:
        return max(self.steps, key=lambda step: step.seconds, default=None)


def critical_path(family: Family, job: Job) -> CriticalPath:
    shares = _shares(family, job)
    before = _dependencies(family, job, shares)
    ends: dict[str, float] = {}
    came_from: dict[str, str | None] = {}
    # Most jobs have no dependencies, and sorting thousands of tasks takes time.
    order = TopologicalSorter(before).static_order() if any(before.values()) else before
    for task_id in order:
        latest = max(before[task_id], key=lambda needed: ends[needed], default=None)
        came_from[task_id] = latest
        ends[task_id] = shares[task_id].seconds + (ends[latest] if latest else 0.0)
    last = max(ends, key=lambda task_id: ends[task_id], default=None)
    return _walk_back(last, came_from, shares)


def own_seconds(family: Family, worker: Worker) -> float:
    """Return the seconds of all attempts, without the time in which child jobs were unfinished."""
    runs = family.runs(worker)
    elapsed = sum(end - start for start, end in runs)
    return max(0.0, elapsed - overlap_seconds(runs, family.lent(worker)))


def _shares(family: Family, job: Job) -> dict[str, CriticalPath]:
    """Return, by task, the longest path of its candidates."""
    shares: dict[str, CriticalPath] = {}
    for worker in family.workers(job.id):
        share = _share(family, worker)
        best = shares.get(worker.task_id)
        if best is None or share.seconds > best.seconds:
            shares[worker.task_id] = share
    return shares


def _share(family: Family, worker: Worker) -> CriticalPath:
    own = own_seconds(family, worker)
    step = PathStep(worker_id=worker.id, job_id=worker.job_id, task_id=worker.task_id, seconds=own)
    share = CriticalPath(seconds=own, steps=(step,))
    for side_by_side in _groups(family, worker):
        paths = [critical_path(family, child) for child in side_by_side]
        share = share.then(max(paths, key=lambda path: path.seconds))
    return share


def _groups(family: Family, worker: Worker) -> Sequence[Sequence[Job]]:
    """Return groups of the worker's child jobs; jobs that ran in parallel are one group."""
    spans = family.lent(worker)
    groups: dict[int, list[Job]] = defaultdict(list)
    for job in family.child_jobs(worker):
        began = job.created_at
        groups[next(i for i, span in enumerate(spans) if span[0] <= began <= span[1])].append(job)
    return [groups[index] for index in sorted(groups)]


def _dependencies(
    family: Family, job: Job, shares: dict[str, CriticalPath]
) -> dict[str, list[str]]:
    before: dict[str, list[str]] = {task_id: [] for task_id in shares}
    for worker in family.workers(job.id):
        needed = family.task(worker).depends_on
        before[worker.task_id] = [task_id for task_id in needed if task_id in shares]
    return before


def _walk_back(
    last: str | None, came_from: dict[str, str | None], shares: dict[str, CriticalPath]
) -> CriticalPath:
    steps: list[PathStep] = []
    seconds = 0.0
    while last is not None:
        steps[:0] = shares[last].steps
        seconds += shares[last].seconds
        last = came_from[last]
    return CriticalPath(seconds=seconds, steps=tuple(steps))
