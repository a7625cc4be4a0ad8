"""The figures of a job with all its descendants, and their form in ``analytics.json``.

``analytics.json`` is one object. All times are Unix times, all durations are
seconds, memory is bytes, and null means unknown, never zero.

- ``schema``: 2 if ``workers``, ``jobs``, or ``comparisons`` is incomplete, otherwise 1. Sums and
  counts include all workers and jobs in both cases. A later release may add fields without a new
  number, but changes no field's meaning.
- ``job_id``, ``root_id``, ``status``, ``created_at``, ``started_at``, ``ended_at``: of the job that
  the figures describe.
- ``wall_seconds``: from ``started_at`` to the end of the job's last worker or reviewer.
- ``work_seconds``: sum of the durations of all attempts, including reviewers. Waits for child jobs
  do not count.
- ``slots``: ``max_workers`` of the root job.
- ``busy_slots``: the part of ``work_seconds`` since ``started_at``, divided by ``wall_seconds``. If
  workers were run again, such as by ``retry`` or ``feedback``, ``started_at`` is of the latest run.
- ``efficiency``: ``busy_slots / slots``.
- ``processors``: number of processors that the server may use.
- ``usable_slots``: the minimum of ``slots``, ``processors``, and the number of started workers.
- ``parallel_efficiency``: ``busy_slots / usable_slots``, but at most 1. The quotient itself may be
  above 1, because a worker needs no processor while it waits.
- ``caps``: the job's caps: each of ``max_steps``, ``max_tokens``, and ``max_cost_usd`` that is set.
- ``critical_path``: ``seconds`` and ``steps``. A step has ``worker_id``, ``job_id``, ``task_id``,
  and ``seconds`` of own work; see ``critical_path.py``.
- ``bottleneck``: id of the worker with the longest step.
- ``queued_seconds``: sum of the delays of all workers. A worker's delay is the time between the
  moment when the worker could start and its actual start.
- ``waited_seconds``: sum over workers of the seconds in which child jobs of the worker were
  unfinished.
- ``attempts``, ``retries``: counts.
- ``strays``: number of leftover processes that were killed after their worker's main process had
  exited.
- ``refused_child_jobs``: number of child jobs that were rejected because of a limit or a cycle.
- ``containment``: the modes of containment that the attempts had.
- ``cpu_seconds``, ``input_tokens``, ``output_tokens``, ``cost_usd``, ``steps``,
  ``cache_read_tokens``, ``cache_write_tokens``, ``prompt_bytes``, ``prompt_bytes_shared``,
  ``prompt_bytes_left_out``: objects with ``value``, ``known``, and ``unknown``. ``value`` is the
  sum over started workers whose value is known. ``known`` is the number of these workers.
  ``unknown`` is the number of started workers whose value is unknown. If ``unknown`` is above
  zero, the sum is partial.
- Tokens, ``cost_usd``, and ``steps`` include planners and reviewers that started. Commands,
  surveys, and questions to people call no model, so they never count as unknown. A worker whose
  agent reported only a part of its cost counts as unknown in ``cost_usd``. The reported part is in
  ``value``.
- Tokens are as the agents report them. ``input_tokens`` exclude ``cache_read_tokens``, which a
  provider read from its cache.
- ``prompt_bytes``: size of all prompts.
- ``prompt_bytes_shared``: size of all text that a provider may have cached. A prompt has such text
  at its beginning if an earlier worker of the same job and agent got a prompt with the same
  beginning.
- ``prompt_bytes_left_out``: size of text that prompts lack, because a prompt contains only the
  beginning of a dependency's long result.
- ``peak_memory_bytes``, ``peak_memory_worker``: the highest peak of one worker, and its id.
- ``workers_by_status``, ``jobs_by_status``: counts.
- ``depths``: for each depth, ``depth``, ``jobs``, ``workers``, ``workers_by_status``, and
  ``work_seconds``.
- ``jobs``: for each job, parents first, ``job_id``, ``parent_worker_id``, ``depth``, ``status``,
  ``wall_seconds``, and ``workers``. If there are more than 1,000 jobs, the list has only 1,000 of
  them. The described job, and jobs that did not complete, are selected first.
- ``jobs_omitted``: only with ``schema`` 2. ``count`` is the number of jobs that ``jobs`` lacks.
  ``tree`` is the API call that shows all jobs.
- ``workers``: for each worker, in order of depth, the fields of ``WorkerFigures``. If there are
  more than 1,000 workers, the list has only 1,000 of them. Failed workers are selected first.
- ``workers_omitted``: only with ``schema`` 2. ``count`` is the number of workers that ``workers``
  lacks. The other fields are API calls that show all workers: ``all`` returns columns, ``pages``
  returns pages, and ``results`` includes ``files_created``.
- ``comparisons``: for each task with candidates, the fields of
  ``core.candidates.comparison.Comparison``. The listed comparisons have at most 1,000 candidates
  together. Tasks without a chosen candidate are selected first.
- ``comparisons_omitted``: only with ``schema`` 2. ``count`` is the number of comparisons that
  ``comparisons`` lacks. ``each`` is the API call that shows one comparison.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate
from operator import attrgetter
from typing import Any, TypedDict, TypeVar

from orchestrator.core.candidates.comparison import Comparison
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.usage_caps import caps_in_words, caps_of
from orchestrator.core.model.job import NO_MODEL, Job, Worker
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.listed_workers import (
    LISTED_WORKERS,
    all_workers_call,
    first_places,
    listed_workers,
    worker_pages_call,
)
from orchestrator.reports.figures.critical_path import CriticalPath, critical_path, own_seconds
from orchestrator.reports.figures.job_tree_index import JobTreeIndex
from orchestrator.reports.figures.worker_figures import WorkerFigures, worker_figures

SCHEMA = 1
#: Schema number of a file that lacks some workers, jobs, or comparisons.
PARTIAL_SCHEMA = 2

Kind = TypeVar("Kind", WorkerStatus, JobStatus)


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """A sum over the started workers whose value is known.

    ``known`` and ``unknown`` are the numbers of started workers whose value is known or unknown.
    ``value`` is None if no value is known.
    """

    value: float | None
    known: int
    unknown: int


class Totals(TypedDict):
    cpu_seconds: Total
    input_tokens: Total
    output_tokens: Total
    cost_usd: Total
    steps: Total
    cache_read_tokens: Total
    cache_write_tokens: Total
    prompt_bytes: Total
    prompt_bytes_shared: Total
    prompt_bytes_left_out: Total


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthFigures:
    depth: int
    jobs: int
    workers: int
    workers_by_status: Mapping[WorkerStatus, int]
    work_seconds: float

    @property
    def succeeded(self) -> int:
        return sum(count for status, count in self.workers_by_status.items() if status.succeeded)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFigures:
    job_id: str
    parent_worker_id: str | None
    depth: int
    status: JobStatus
    wall_seconds: float
    workers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Analytics:
    """The content of ``analytics.json``. The module's docstring describes the fields."""

    schema: int
    job_id: str
    root_id: str
    status: JobStatus
    created_at: float
    started_at: float
    ended_at: float
    wall_seconds: float
    work_seconds: float
    slots: int
    busy_slots: float | None
    efficiency: float | None
    processors: int
    usable_slots: int
    parallel_efficiency: float | None
    critical_path: CriticalPath
    bottleneck: str | None
    queued_seconds: float
    waited_seconds: float
    attempts: int
    retries: int
    strays: int
    refused_child_jobs: int
    caps: Mapping[str, float]
    containment: tuple[str, ...]
    cpu_seconds: Total
    input_tokens: Total
    output_tokens: Total
    cost_usd: Total
    steps: Total
    cache_read_tokens: Total
    cache_write_tokens: Total
    prompt_bytes: Total
    prompt_bytes_shared: Total
    prompt_bytes_left_out: Total
    peak_memory_bytes: int | None
    peak_memory_worker: str | None
    workers_by_status: Mapping[WorkerStatus, int]
    jobs_by_status: Mapping[JobStatus, int]
    depths: tuple[DepthFigures, ...]
    jobs: tuple[JobFigures, ...]
    workers: tuple[WorkerFigures, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def caps_in_words(self) -> str:
        return caps_in_words(self.caps)


def analytics_of(index: JobTreeIndex, job: Job, processors: int) -> Analytics:
    """Return the figures of a job with all jobs below it.

    ``processors``: number of processors that the server may use.
    """
    jobs = sorted(index.descendants(job), key=lambda each: each.depth)
    workers = [worker for each in jobs for worker in index.workers(each.id)]
    figures = tuple(worker_figures(index, worker) for worker in workers)
    path = critical_path(index, job)
    wall_seconds = index.wall_seconds(job)
    work_seconds = _work_seconds(index, jobs, figures)
    slots = index.tree.root.config.max_workers
    busy_seconds = work_seconds - _seconds_of_earlier_runs(index, job, jobs, workers)
    busy_slots = busy_seconds / wall_seconds if wall_seconds > 0 else None
    started = [each for each in figures if each.attempts]
    usable = max(1, min(slots, len(started), processors))
    advisers = [worker_figures(index, each) for each in index.advisers(jobs)]
    spenders = [*started, *(each for each in advisers if each.attempts)]
    largest = max(started, key=lambda each: each.peak_memory_bytes or 0, default=None)
    return Analytics(
        schema=SCHEMA,
        job_id=job.id,
        root_id=job.root_id,
        status=index.status(job),
        created_at=job.created_at,
        started_at=index.began(job),
        ended_at=index.ended(job),
        wall_seconds=wall_seconds,
        work_seconds=work_seconds,
        slots=slots,
        caps=caps_of(job.config),
        busy_slots=busy_slots,
        efficiency=None if busy_slots is None else busy_slots / slots,
        processors=processors,
        usable_slots=usable,
        parallel_efficiency=None if busy_slots is None else min(1.0, busy_slots / usable),
        critical_path=path,
        bottleneck=path.longest_step.worker_id if path.longest_step else None,
        queued_seconds=sum(each.queued_seconds or 0.0 for each in figures),
        waited_seconds=sum(each.waited_seconds for each in figures),
        attempts=sum(each.attempts for each in figures),
        retries=sum(each.retries for each in figures),
        strays=sum(each.strays for each in figures),
        refused_child_jobs=sum(each.refused_child_jobs for each in figures),
        containment=_containment(index, workers),
        **_totals(started, spenders),
        peak_memory_bytes=largest.peak_memory_bytes if largest else None,
        peak_memory_worker=largest.worker_id if largest and largest.peak_memory_bytes else None,
        workers_by_status=_worker_counts(workers),
        jobs_by_status=_in_order(JobStatus, Counter(index.status(each) for each in jobs)),
        depths=_depths(jobs, figures, workers),
        jobs=tuple(_job_figures(index, each) for each in jobs),
        workers=figures,
        comparisons=tuple(comparison for each in jobs for comparison in index.comparisons(each)),
    )


def _work_seconds(
    index: JobTreeIndex, jobs: Iterable[Job], figures: Iterable[WorkerFigures]
) -> float:
    # A reviewer holds a slot, too.
    reviewers = (worker for each in jobs for worker in index.reviewers(each.id))
    return sum(each.work_seconds for each in figures) + sum(
        own_seconds(index, each) for each in reviewers
    )


def _seconds_of_earlier_runs(
    index: JobTreeIndex, job: Job, jobs: Iterable[Job], workers: Iterable[Worker]
) -> float:
    """Return the work time of workers and reviewers before the latest run of ``job`` began."""
    began = index.began(job)
    reviewers = (worker for each in jobs for worker in index.reviewers(each.id))
    return sum(
        own_seconds(index, each) - own_seconds(index, each, since=began)
        for each in (*workers, *reviewers)
        if any(start < began for start, _ in index.runs(each))
    )


def _containment(index: JobTreeIndex, workers: Iterable[Worker]) -> tuple[str, ...]:
    attempts = (attempt for worker in workers for attempt in index.attempts(worker))
    modes = {attempt.exit.containment for attempt in attempts if attempt.exit}
    return tuple(sorted(modes - {""}))


def as_json(figures: Analytics) -> str:
    """Return the figures as JSON, with one line for each field, job, and listed worker."""
    fields = _by_name(figures)
    if lists := {**_some_workers(figures), **_some_jobs(figures), **_some_comparisons(figures)}:
        fields = {**fields, "schema": PARTIAL_SCHEMA, **lists}
    lines = [f' "{name}": {_json(value)}' for name, value in fields.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _some_workers(figures: Analytics) -> Mapping[str, object]:
    listed = tuple(listed_workers(figures.workers))
    omitted = {
        "count": len(figures.workers) - len(listed),
        "all": all_workers_call(figures.job_id),
        "pages": worker_pages_call(figures.job_id),
        "results": f"GET /api/v1/jobs/{figures.job_id}/results",
    }
    return {"workers": listed, "workers_omitted": omitted} if omitted["count"] else {}


def _some_jobs(figures: Analytics) -> Mapping[str, object]:
    jobs = figures.jobs
    if len(jobs) <= LISTED_WORKERS:
        return {}
    ranks = [
        0 if each.job_id == figures.job_id else 1 + (each.status is JobStatus.COMPLETED)
        for each in jobs
    ]
    return {
        "jobs": tuple(jobs[place] for place in first_places(ranks, LISTED_WORKERS)),
        "jobs_omitted": {
            "count": len(jobs) - LISTED_WORKERS,
            "tree": f"GET /api/v1/jobs/{figures.job_id}/tree",
        },
    }


def _some_comparisons(figures: Analytics) -> Mapping[str, object]:
    comparisons = figures.comparisons
    order = sorted(range(len(comparisons)), key=lambda place: comparisons[place].chosen is not None)
    sums = accumulate(len(comparisons[place].candidates) for place in order)
    listed = [place for place, number in zip(order, sums, strict=True) if number <= LISTED_WORKERS]
    if len(listed) == len(comparisons):
        return {}
    return {
        "comparisons": tuple(comparisons[place] for place in sorted(listed)),
        "comparisons_omitted": {
            "count": len(comparisons) - len(listed),
            "each": "GET /api/v1/jobs/{job_id}/tasks/{task_id}/candidates",
        },
    }


def _json(value: object) -> str:
    if isinstance(value, tuple) and value:
        return "[\n  " + ",\n  ".join(map(_json_line, value)) + "\n ]"
    return _json_line(value)


def _by_name(value: Any) -> dict[str, object]:
    """Return the fields of an object by name. Numbers are rounded to six decimal places."""
    names, values_of = _fields(value.__class__)
    return {
        name: round(field_value, 6) if type(field_value) is float else field_value
        for name, field_value in zip(names, values_of(value), strict=True)
    }


@cache
def _fields(kind: type[Any]) -> tuple[Sequence[str], Callable[[Any], tuple[object, ...]]]:
    """Return the field names of the dataclass ``kind``, and a function that gets their values.

    The function returns the values of an instance in the order of the names. The dataclass must
    have at least two fields.
    """
    names = tuple(kind.__dataclass_fields__)
    return names, attrgetter(*names)


#: Encoder without a check for cycles, because figures contain none.
_json_line = json.JSONEncoder(default=_by_name, check_circular=False).encode


def _totals(started: Sequence[WorkerFigures], spenders: Sequence[WorkerFigures]) -> Totals:
    """Return the sums over workers.

    ``started``: the workers that started. ``spenders``: the same workers, and all planners and
    reviewers that started, because these may also cost money.
    """
    return Totals(
        cpu_seconds=_total(each.cpu_seconds for each in started),
        input_tokens=_usage_total(spenders, lambda each: each.input_tokens),
        output_tokens=_usage_total(spenders, lambda each: each.output_tokens),
        cost_usd=_cost_total(spenders),
        steps=_usage_total(spenders, lambda each: each.steps),
        cache_read_tokens=_usage_total(spenders, lambda each: each.cache_read_tokens),
        cache_write_tokens=_usage_total(spenders, lambda each: each.cache_write_tokens),
        prompt_bytes=_total(each.prompt_bytes for each in started),
        prompt_bytes_shared=_total(each.prompt_bytes_shared for each in started),
        prompt_bytes_left_out=_total(each.prompt_bytes_left_out for each in started),
    )


def _usage_total(
    spenders: Iterable[WorkerFigures], figure: Callable[[WorkerFigures], float | None]
) -> Total:
    """Return the sum of a figure of usage. Workers that call no model do not count as unknown."""
    values = ((figure(each), each.agent) for each in spenders)
    return _total(value for value, agent in values if value is not None or agent not in NO_MODEL)


def _cost_total(spenders: Sequence[WorkerFigures]) -> Total:
    total = _usage_total(spenders, lambda each: each.cost_usd)
    partial = sum(each.cost_partial for each in spenders if each.cost_usd is not None)
    return Total(value=total.value, known=total.known - partial, unknown=total.unknown + partial)


def _total(values: Iterable[float | None]) -> Total:
    all_values = list(values)
    known = [value for value in all_values if value is not None]
    return Total(
        value=round(sum(known), 6) if known else None,
        known=len(known),
        unknown=len(all_values) - len(known),
    )


def _worker_counts(workers: Iterable[Worker]) -> Mapping[WorkerStatus, int]:
    return _in_order(WorkerStatus, Counter(worker.status for worker in workers))


def _in_order(kind: type[Kind], counts: Counter[Kind]) -> Mapping[Kind, int]:
    return {each: counts[each] for each in kind if counts[each]}


def _depths(
    jobs: Sequence[Job], figures: Sequence[WorkerFigures], workers: Sequence[Worker]
) -> tuple[DepthFigures, ...]:
    by_depth: dict[int, list[Worker]] = {job.depth: [] for job in jobs}
    work_seconds = dict.fromkeys(by_depth, 0.0)
    for worker, each in zip(workers, figures, strict=True):
        by_depth[worker.depth].append(worker)
        work_seconds[worker.depth] += each.work_seconds
    job_counts = Counter(job.depth for job in jobs)
    return tuple(
        DepthFigures(
            depth=depth,
            jobs=job_counts[depth],
            workers=len(members),
            workers_by_status=_worker_counts(members),
            work_seconds=work_seconds[depth],
        )
        for depth, members in sorted(by_depth.items())
    )


def _job_figures(index: JobTreeIndex, job: Job) -> JobFigures:
    return JobFigures(
        job_id=job.id,
        parent_worker_id=job.parent_worker_id,
        depth=job.depth,
        status=index.status(job),
        wall_seconds=index.wall_seconds(job),
        workers=len(index.workers(job.id)),
    )
