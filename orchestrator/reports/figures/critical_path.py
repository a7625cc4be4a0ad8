"""Critical paths of jobs.

The critical path is the longest chain of workers in which each worker must wait for the previous
worker. Even with unlimited slots, a job takes at least as long as its critical path.

In the path, a task comes after its dependencies, and a review after its candidates. A worker
lengthens the path by its own work and by the critical paths of its child jobs. If child jobs run in
parallel, only their longest path counts.
"""

from collections import defaultdict
from collections.abc import Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model import dag
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
    task_ids = [*paths]
    needed = _dependencies(index, job, task_ids)
    chain = dag.critical_path(needed, [each.seconds for each in paths.values()])
    path = [paths[task_ids[number]] for number in chain]
    return CriticalPath(
        seconds=sum([each.seconds for each in path], 0.0),
        steps=tuple(step for each in path for step in each.steps),
    )


def own_seconds(index: JobTreeIndex, worker: Worker, since: float = 0.0) -> float:
    """Return the seconds of a worker's attempts, without periods with unfinished child jobs.

    Time before ``since`` (Unix time) does not count.
    """
    runs, waits = index.runs(worker), index.child_job_periods(worker)
    runs = [(max(start, since), end) for start, end in runs if end > since] if since else runs
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


def _dependencies(index: JobTreeIndex, job: Job, task_ids: Sequence[str]) -> list[list[int]]:
    """Return, for each of ``task_ids``, the positions of its dependencies in ``task_ids``."""
    numbers = {task_id: number for number, task_id in enumerate(task_ids)}
    needed: list[list[int]] = [[] for _ in task_ids]
    for worker in index.workers(job.id):
        depends_on = index.task(worker).depends_on
        needed[numbers[worker.task_id]] = [numbers[each] for each in depends_on if each in numbers]
    return needed
