"""Index of a job tree for all reports: relations, times, workers' figures, and critical paths.

The critical path is the longest chain of workers in which each worker must wait for the previous
worker. Even with unlimited slots, a job takes at least as long as its critical path.

In the path, a task comes after its dependencies. A worker lengthens the path by its own work and by
the critical paths of its child jobs. If child jobs run in parallel, only their longest path counts.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from graphlib import TopologicalSorter

from orchestrator.core.candidates.comparison import Comparison, comparisons
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.failure import Failure, Rollback
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, wall_seconds
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.job_outcome import final_status, tasks_succeeded
from orchestrator.core.outcome.job.unmerged_changes import UnmergedChanges
from orchestrator.core.ports import Tree
from orchestrator.core.text.formatting import one_line

Interval = tuple[float, float]


class JobTreeIndex:
    """A job tree with indexes that are built once. Times are seconds since the epoch."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._jobs = {job.id: job for job in tree.jobs}
        self._tasks = {
            (job_id, task.id): task for job_id, tasks in tree.tasks.items() for task in tasks
        }
        self._workers: dict[str, list[Worker]] = defaultdict(list)
        self._worker_by_id = {worker.id: worker for worker in tree.workers}
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        self._runs: dict[str, list[Interval]] = defaultdict(list)
        self._child_jobs: dict[str, list[Job]] = defaultdict(list)
        self._statuses: dict[str, JobStatus] = {}
        self._succeeded: dict[str, Mapping[str, bool]] = {}
        self._ends: dict[str, float] = {}
        self._task_ends: dict[tuple[str, str], float] = {}
        self._first_prompted: dict[str, Mapping[str, int]] = {}
        self._labels: dict[str, str] = {}
        self._index()

    @property
    def unmerged_changes(self) -> UnmergedChanges:
        return UnmergedChanges(self._jobs, self._workers)

    def _index(self) -> None:
        for worker in self.tree.workers:
            self._workers[worker.job_id].append(worker)
            if worker.ended_at is not None:
                task = (worker.job_id, worker.task_id)
                self._task_ends[task] = max(worker.ended_at, self._task_ends.get(task, 0.0))
        for attempt in self.tree.attempts:
            self._attempts[attempt.worker_id].append(attempt)
            self._runs[attempt.worker_id].append((attempt.started_at, attempt_ended(attempt)))
        for job in self.tree.jobs:
            if job.parent_worker_id is not None:
                self._child_jobs[job.parent_worker_id].append(job)
        for worker_id, children in self._child_jobs.items():
            self._sort_as_started(worker_id, children)

    def tasks_succeeded(self, job_id: str) -> Mapping[str, bool]:
        if job_id not in self._succeeded:
            # Cache the result, because a child job's report counts the tasks of all jobs above the
            # child job.
            self._succeeded[job_id] = tasks_succeeded(self.workers(job_id))
        return self._succeeded[job_id]

    @cached_property
    def in_project(self) -> frozenset[str]:
        """Ids of the workers that work in the user's checkout (``workdir: project``)."""
        workers = self.tree.workers
        pairs = ((worker.id, worker) for worker in workers if not worker.is_adviser)
        return frozenset(
            worker_id for worker_id, worker in pairs if self.task(worker).works_in_project
        )

    def _sort_as_started(self, worker_id: str, children: list[Job]) -> None:
        """Sort ``children`` in place, in the order in which the worker started the child jobs.

        The store does not order jobs that were created at the same instant.
        """
        worker = self._worker_by_id.get(worker_id)
        job_ids = worker.child_job_ids if worker else ()
        positions = {job_id: number for number, job_id in enumerate(job_ids)}
        children.sort(key=lambda job: positions.get(job.id, len(positions)))

    def job(self, job_id: str) -> Job:
        """Return the job with this id. Raise KeyError if the job is not in the tree."""
        return self._jobs[job_id]

    def task(self, worker: Worker) -> TaskSpec:
        return self._tasks.get((worker.job_id, worker.task_id)) or TaskSpec(id=worker.task_id)

    def label(self, worker: Worker) -> str:
        """Return the title of the worker's task, on one line.

        Without a title, return the task's prompt, command, or id.
        """
        if worker.id not in self._labels:
            # Cache the label, because several reports show it.
            task = self.task(worker)
            command = (
                task.command if isinstance(task.command, str) else " ".join(task.command or ())
            )
            label = task.title or one_line(task.prompt or command or task.id)[:80]
            self._labels[worker.id] = label
        return self._labels[worker.id]

    def task_ended(self, job_id: str, task_id: str) -> float | None:
        """Return the end time of the task's last candidate; None if the task has not ended."""
        return self._task_ends.get((job_id, task_id))

    def worker(self, worker_id: str) -> Worker:
        return self._worker_by_id[worker_id]

    def workers(self, job_id: str) -> Sequence[Worker]:
        return self._workers.get(job_id, ())

    def advisers(self, jobs: Iterable[Job]) -> Sequence[Worker]:
        ids = {job.id for job in jobs}
        return [adviser for adviser in self.tree.advisers if adviser.job_id in ids]

    def comparisons(self, job: Job) -> Sequence[Comparison]:
        """Return a comparison for each task of the job that has several candidates."""
        workers, tasks = self.workers(job.id), self.tree.tasks.get(job.id, ())
        if len(workers) <= len(tasks):  # usually one worker per task
            return ()
        worker_counts = Counter(worker.task_id for worker in workers)
        compared_tasks = [task for task in tasks if worker_counts[task.id] > 1]
        candidates = [worker for worker in workers if worker_counts[worker.task_id] > 1]
        reviewers = [each for each in self.tree.reviewers if each.job_id == job.id]
        return comparisons(compared_tasks, candidates, reviewers)

    def attempts(self, worker: Worker) -> Sequence[Attempt]:
        return self._attempts.get(worker.id, ())

    def first_prompted(self, job_id: str) -> Mapping[str, int]:
        """Return the field ``index`` of each agent's first worker, by agent.

        The first worker is the worker that started first, among the agent's workers of the job
        with a prompt.
        """
        if job_id not in self._first_prompted:
            first: dict[str, tuple[float, int]] = {}
            for worker in self.workers(job_id):
                if worker.result and worker.result.prompt:
                    starts = [start for start, _ in self.runs(worker)]
                    started_at = min(starts, default=worker.started_at) or 0.0
                    earliest = first.setdefault(worker.agent, (started_at, worker.index))
                    first[worker.agent] = min(earliest, (started_at, worker.index))
            self._first_prompted[job_id] = {agent: index for agent, (_, index) in first.items()}
        return self._first_prompted[job_id]

    def child_jobs(self, worker: Worker) -> Sequence[Job]:
        return self._child_jobs.get(worker.id, ())

    def descendants(self, job: Job) -> Iterator[Job]:
        """Yield the job itself, then all jobs below it, parents first."""
        yield job
        for worker in self.workers(job.id):
            for child in self.child_jobs(worker):
                yield from self.descendants(child)

    def ancestry(self, job: Job) -> Sequence[Job]:
        """Return the jobs from the root job down to the job itself."""
        jobs = [job]
        while (parent := jobs[0].parent_worker_id) is not None:
            jobs.insert(0, self._jobs[self._worker_by_id[parent].job_id])
        return jobs

    def status(self, job: Job) -> JobStatus:
        """Return the status of a job.

        If all workers of an unfinished job have ended, return the job's final status in advance.
        """
        if job.id not in self._statuses:
            workers = self.workers(job.id)
            is_current = job.status.ended or not all(worker.status.ended for worker in workers)
            self._statuses[job.id] = job.status if is_current else final_status(job, workers)
        return self._statuses[job.id]

    def began(self, job: Job) -> float:
        return job.created_at if job.started_at is None else job.started_at

    def ended(self, job: Job) -> float:
        """Return the time when the job ended.

        For an unfinished job, return the latest known end of an attempt, worker, or child job. The
        returned time is never before the job's start, even if a clock was set back.
        """
        if job.id not in self._ends:
            self._ends[job.id] = max([job.created_at, self.began(job), *self._known_ends(job)])
        return self._ends[job.id]

    def wall_seconds(self, job: Job) -> float:
        """Return the job's wall time; for an unfinished job, the time to its latest known end."""
        seconds = wall_seconds(job, self.workers(job.id))
        return self.ended(job) - self.began(job) if seconds is None else seconds

    def _known_ends(self, job: Job) -> Iterator[float]:
        if job.status.ended and job.ended_at is not None:
            yield job.ended_at
            return
        for worker in self.workers(job.id):
            if worker.ended_at is not None:
                yield worker.ended_at
            yield from (end for _, end in self.runs(worker))
            yield from (self.ended(child) for child in self.child_jobs(worker))

    def runs(self, worker: Worker) -> Sequence[Interval]:
        """Return the period of each attempt. An attempt without a known end has length 0."""
        return self._runs.get(worker.id, ())

    def child_job_periods(self, worker: Worker) -> Sequence[Interval]:
        """Return the periods in which a child job of the worker was unfinished.

        Overlapping periods are merged. In these periods, the worker has no slot.
        """
        children = self.child_jobs(worker)
        return joined([(job.created_at, self.ended(job)) for job in children]) if children else ()


def attempt_ended(attempt: Attempt) -> float:
    ended = attempt.ended_at
    if ended is None:
        ended = attempt.exit.ended_at if attempt.exit else attempt.started_at
    return max(ended, attempt.started_at)


def joined(spans: Sequence[Interval]) -> list[Interval]:
    """Return the periods of time in order. Overlapping periods are merged."""
    result: list[Interval] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def overlap_seconds(spans: Sequence[Interval], others: Sequence[Interval]) -> float:
    """Return the total seconds in which periods of ``spans`` overlap with periods of ``others``.

    The periods in one list must not overlap with each other.
    """
    if not others:  # usually no child jobs
        return 0
    return sum(
        max(0.0, min(end, other_end) - max(start, other_start))
        for start, end in spans
        for other_start, other_end in others
    )


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


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFigures:
    """The figures of one worker. Durations are seconds, memory is bytes; None means unknown."""

    worker_id: str
    job_id: str
    task_id: str
    agent: str
    depth: int
    status: WorkerStatus
    started_at: float | None
    ended_at: float | None
    attempts: int
    retries: int
    #: Seconds from the moment when the worker could start (the job existed, and the dependencies
    #: had ended) to its actual start; None if the worker has not started.
    queued_seconds: float | None
    #: Seconds of work in all attempts, without the time of unfinished child jobs.
    work_seconds: float
    #: Seconds of the attempts during which child jobs were unfinished.
    waited_seconds: float
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    steps: int | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cost_usd: float | None
    #: Size of the latest prompt.
    prompt_bytes: int | None
    #: Size of the prompt's beginning that an earlier worker of this job and agent also received.
    prompt_bytes_shared: int | None
    #: Size of the text that was cut from the results of dependencies in the prompt.
    prompt_bytes_left_out: int | None
    strays: int
    refused_child_jobs: int
    child_job_ids: tuple[str, ...]
    files_created: tuple[str, ...]
    files_removed: tuple[str, ...]
    #: Classified failures of the worker's attempts.
    failures: tuple[Failure, ...]
    #: Rollbacks by people.
    rollbacks: tuple[Rollback, ...]


def worker_figures(index: JobTreeIndex, worker: Worker) -> WorkerFigures:
    stored_attempts, result = index.attempts(worker), worker.result
    attempts = max(worker.attempt, len(stored_attempts))
    usage = worker.usage
    prompt = result.prompt if result else None
    exits = [attempt.exit for attempt in stored_attempts if attempt.exit]
    starts = [start for start, _ in index.runs(worker)]
    started_at = min(starts) if starts else worker.started_at
    peak_memory_bytes = _peak_memory_bytes(worker, exits)
    return WorkerFigures(
        worker_id=worker.id,
        job_id=worker.job_id,
        task_id=worker.task_id,
        agent=worker.agent,
        depth=worker.depth,
        status=worker.status,
        started_at=started_at,
        ended_at=worker.ended_at,
        attempts=attempts,
        retries=max(0, attempts - 1),
        queued_seconds=_queued_seconds(index, worker, started_at),
        work_seconds=own_seconds(index, worker),
        waited_seconds=overlap_seconds(index.runs(worker), index.child_job_periods(worker)),
        # CPU time and memory are measured together, so both are known or both are unknown.
        cpu_seconds=None if peak_memory_bytes is None else _cpu_seconds(worker, exits),
        peak_memory_bytes=peak_memory_bytes,
        steps=usage.steps,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_usd=usage.cost_usd,
        prompt_bytes=prompt.whole if prompt else None,
        prompt_bytes_shared=_shared_prompt_bytes(index, worker) if prompt else None,
        prompt_bytes_left_out=prompt.left_out if prompt else None,
        strays=_strays(worker, exits),
        refused_child_jobs=result.refused_child_jobs if result else 0,
        child_job_ids=tuple([job.id for job in index.child_jobs(worker)]),
        files_created=result.files_created if result else (),
        files_removed=worker.files_removed,
        failures=result.failures if result else (),
        rollbacks=result.rollbacks if result else (),
    )


def _shared_prompt_bytes(index: JobTreeIndex, worker: Worker) -> int:
    """Return the size of the prompt's beginning that an earlier worker's prompt also has, in bytes.

    The result is 0 for a planner or reviewer, and for the agent's first worker in the job.
    """
    if worker.is_adviser:
        return 0
    prompt = worker.result.prompt if worker.result else None
    is_first = index.first_prompted(worker.job_id)[worker.agent] == worker.index
    return prompt.shared if prompt and not is_first else 0


def _queued_seconds(index: JobTreeIndex, worker: Worker, start: float | None) -> float | None:
    if start is None:
        return None
    ready = index.job(worker.job_id).created_at
    for task_id in index.task(worker).depends_on:
        ready = max(ready, index.task_ended(worker.job_id, task_id) or ready)
    return max(0.0, start - ready)


def _cpu_seconds(worker: Worker, exits: Sequence[Exit]) -> float:
    if worker.result is not None:
        return worker.result.cpu_seconds
    return sum(each.cpu_seconds for each in exits)


def _peak_memory_bytes(worker: Worker, exits: Sequence[Exit]) -> int | None:
    """Return the worker's peak memory in bytes; None if the value is unknown or was 0."""
    measured = [each.peak_memory_bytes for each in exits]
    measured.append(worker.result.peak_memory_bytes if worker.result else 0)
    return max(measured) or None


def _strays(worker: Worker, exits: Sequence[Exit]) -> int:
    if exits:
        return sum([len(each.strays) for each in exits])
    return len(worker.result.strays) if worker.result else 0
