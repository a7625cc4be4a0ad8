"""Figures of one worker: times, usage, prompt sizes, files, and failures."""

from collections.abc import Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.failure import Failure, Rollback
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.reports.figures.critical_path import own_seconds
from orchestrator.reports.figures.job_tree_index import JobTreeIndex, overlap_seconds


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
    #: True if the agent reported only a part of its cost.
    cost_partial: bool
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
        cost_partial=usage.partial,
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
