"""Critical paths of jobs.

The critical path is the longest chain of workers in which each worker must wait for the previous
worker. Even with unlimited slots, a job takes at least as long as its critical path.

In the path, a task comes after its dependencies, and a review after its candidates. A worker
lengthens the path by its own work and by the critical paths of its child jobs. If child jobs run in
parallel, only their longest path counts.
"""

from collections import defaultdict
from collections.abc import Sequence
from graphlib import TopologicalSorter

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job, Worker
from orchestrator.reports.figures.job_tree_index import JobTreeIndex, overlap_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class PathStep:
    """A worker on the critical path, with the seconds of its own work."""

    worker_id: str
    job_id: str
    task_id: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CriticalPath:
    """The steps of a critical path in the order of work. A worker comes before its child jobs."""

    seconds: float
    steps: tuple[PathStep, ...]

    def then(self, after: "CriticalPath") -> "CriticalPath":
        return CriticalPath(seconds=self.seconds + after.seconds, steps=self.steps + after.steps)

    @property
    def longest_step(self) -> PathStep | None:
        return max(self.steps, key=lambda step: step.seconds, default=None)


def critical_path(index: JobTreeIndex, job: Job) -> CriticalPath:
    """Return the critical path of a job, with the paths of its child jobs."""
    paths = _paths_by_task(index, job)
    dependencies = _dependencies(index, job, paths)
    ends: dict[str, float] = {}
    predecessors: dict[str, str | None] = {}
    # Most jobs have no dependencies, and sorting thousands of tasks takes time.
    order = (
        TopologicalSorter(dependencies).static_order()
        if any(dependencies.values())
        else dependencies
    )
    for task_id in order:
        latest = max(dependencies[task_id], key=lambda dependency: ends[dependency], default=None)
        predecessors[task_id] = latest
        ends[task_id] = paths[task_id].seconds + (ends[latest] if latest else 0.0)
    last_task_id = max(ends, key=lambda task_id: ends[task_id], default=None)
    return _walk_back(last_task_id, predecessors, paths)


def own_seconds(index: JobTreeIndex, worker: Worker) -> float:
    """Return the seconds of a worker's attempts, without periods with unfinished child jobs."""
    runs, waits = index.runs(worker), index.child_job_periods(worker)
    elapsed = sum([end - start for start, end in runs], 0.0)
    return max(0.0, elapsed - overlap_seconds(runs, waits)) if waits else elapsed


def _paths_by_task(index: JobTreeIndex, job: Job) -> dict[str, CriticalPath]:
    paths: dict[str, CriticalPath] = {}
    for worker in index.workers(job.id):
        path = _path_of_worker(index, worker)
        longest = paths.get(worker.task_id)
        if longest is None or path.seconds > longest.seconds:
            paths[worker.task_id] = path
    started = (each for each in index.reviewers(job.id) if index.runs(each))
    for reviewer in (each for each in started if each.task_id in paths):
        # Tasks that depend on the reviewed task wait for the review.
        paths[reviewer.task_id] = paths[reviewer.task_id].then(_path_of_worker(index, reviewer))
    return paths


def _path_of_worker(index: JobTreeIndex, worker: Worker) -> CriticalPath:
    seconds = own_seconds(index, worker)
    step = PathStep(
        worker_id=worker.id, job_id=worker.job_id, task_id=worker.task_id, seconds=seconds
    )
    path = CriticalPath(seconds=seconds, steps=(step,))
    for parallel in _parallel_child_jobs(index, worker):
        paths = [critical_path(index, child) for child in parallel]
        path = path.then(max(paths, key=lambda each: each.seconds))
    return path


def _parallel_child_jobs(index: JobTreeIndex, worker: Worker) -> Sequence[Sequence[Job]]:
    if not index.child_jobs(worker):
        return ()
    spans = index.child_job_periods(worker)
    groups: dict[int, list[Job]] = defaultdict(list)
    for job in index.child_jobs(worker):
        began = job.created_at
        groups[next(i for i, span in enumerate(spans) if span[0] <= began <= span[1])].append(job)
    return [groups[number] for number in sorted(groups)]


def _dependencies(
    index: JobTreeIndex, job: Job, paths: dict[str, CriticalPath]
) -> dict[str, list[str]]:
    dependencies: dict[str, list[str]] = {task_id: [] for task_id in paths}
    for worker in index.workers(job.id):
        depends_on = index.task(worker).depends_on
        dependencies[worker.task_id] = [task_id for task_id in depends_on if task_id in paths]
    return dependencies


def _walk_back(
    task_id: str | None, predecessors: dict[str, str | None], paths: dict[str, CriticalPath]
) -> CriticalPath:
    steps: list[PathStep] = []
    seconds = 0.0
    while task_id is not None:
        steps[:0] = paths[task_id].steps
        seconds += paths[task_id].seconds
        task_id = predecessors[task_id]
    return CriticalPath(seconds=seconds, steps=tuple(steps))
