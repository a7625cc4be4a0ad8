"""The figures of one worker over all its attempts, and the critical path of a job.

The critical path is the longest chain of work that cannot run in parallel. A task follows its
dependencies. A worker contains its child jobs: its share is its own work plus the critical paths
of its child jobs; of child jobs that ran in parallel, only the longest counts. With any number of
slots, a job takes at least as long as its critical path.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from orchestrator.core.model.attempt.attempt_result import Exit, Usage
from orchestrator.core.model.attempt.failure import Failure, Rollback
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
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


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFigures:
    """The figures of one worker.

    Durations are in seconds, memory is in bytes; None means unknown.
    """

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
    #: Seconds between the time when the worker could start (job and dependencies ready) and its
    #: start.
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
    #: Size of the latest prompt; of the part that an earlier worker of the same job and agent had
    #: received; and of results that the prompt only names.
    prompt_bytes: int | None
    prompt_bytes_shared: int | None
    prompt_bytes_left_out: int | None
    strays: int
    refused_child_jobs: int
    child_job_ids: tuple[str, ...]
    files_created: tuple[str, ...]
    #: Classified failures of the worker's attempts.
    failures: tuple[Failure, ...] = ()
    #: Rollbacks by people.
    rollbacks: tuple[Rollback, ...] = ()


def worker_figures(family: Family, worker: Worker) -> WorkerFigures:
    attempts = max(worker.attempt, len(family.attempts(worker)))
    usage = worker.result.usage if worker.result else Usage()
    prompt = worker.result.prompt if worker.result else None
    exits = [attempt.exit for attempt in family.attempts(worker) if attempt.exit]
    return WorkerFigures(
        worker_id=worker.id,
        job_id=worker.job_id,
        task_id=worker.task_id,
        agent=worker.agent,
        depth=worker.depth,
        status=worker.status,
        started_at=_first_start(family, worker),
        ended_at=worker.ended_at,
        attempts=attempts,
        retries=max(0, attempts - 1),
        queued_seconds=_queued_seconds(family, worker),
        work_seconds=own_seconds(family, worker),
        waited_seconds=overlap_seconds(family.runs(worker), family.lent(worker)),
        cpu_seconds=_cpu_seconds(worker, exits),
        peak_memory_bytes=_peak_memory_bytes(worker, exits),
        steps=usage.steps,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_usd=usage.cost_usd,
        prompt_bytes=prompt.whole if prompt else None,
        prompt_bytes_shared=_shared(family, worker) if prompt else None,
        prompt_bytes_left_out=prompt.left_out if prompt else None,
        strays=_strays(worker, exits),
        refused_child_jobs=worker.result.refused_child_jobs if worker.result else 0,
        child_job_ids=tuple(job.id for job in family.child_jobs(worker)),
        files_created=worker.result.files_created if worker.result else (),
        failures=worker.result.failures if worker.result else (),
        rollbacks=worker.result.rollbacks if worker.result else (),
    )


def _shared(family: Family, worker: Worker) -> int:
    """Return the bytes that an earlier worker's prompt shares; 0 for the first worker of a job and
    agent.
    """
    if worker.is_adviser:
        return 0
    prompt = worker.result.prompt if worker.result else None
    is_first = family.first_prompted(worker.job_id)[worker.agent] == worker.index
    return prompt.shared if prompt and not is_first else 0


def _first_start(family: Family, worker: Worker) -> float | None:
    starts = [start for start, _ in family.runs(worker)]
    return min(starts, default=worker.started_at)


def _queued_seconds(family: Family, worker: Worker) -> float | None:
    start = _first_start(family, worker)
    if start is None:
        return None
    submitted = family.job(worker.job_id).created_at
    needed = family.task(worker).depends_on
    ends = [family.task_ended(worker.job_id, task_id) for task_id in needed]
    ready = max([submitted, *(end for end in ends if end is not None)])
    return max(0.0, start - ready)


def _cpu_seconds(worker: Worker, exits: Sequence[Exit]) -> float | None:
    if _peak_memory_bytes(worker, exits) is None:
        return None
    from_exits = sum(each.cpu_seconds for each in exits)
    return worker.result.cpu_seconds if worker.result else from_exits


def _peak_memory_bytes(worker: Worker, exits: Sequence[Exit]) -> int | None:
    """Return the peak memory, or None if the measured value is 0, because not every process can be
    measured.
    """
    measured = [each.peak_memory_bytes for each in exits]
    if worker.result is not None:
        measured.append(worker.result.peak_memory_bytes)
    return max(measured, default=0) or None


def _strays(worker: Worker, exits: Sequence[Exit]) -> int:
    if exits:
        return sum(len(each.strays) for each in exits)
    return len(worker.result.strays) if worker.result else 0
