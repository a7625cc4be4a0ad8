"""Results of reads that list many workers: light rows, without whole documents."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from orchestrator.core.model.job import Job
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.needs import Need


class JobNode(NamedTuple):
    """A job in a tree, without its settings and facts."""

    id: str
    parent_job_id: str | None
    parent_worker_id: str | None
    depth: int
    status: str
    request: str
    created_at: float
    started_at: float | None
    run: int = 1


class WorkerRow(NamedTuple):
    """A worker without its output."""

    id: str
    job_id: str
    task_id: str
    #: Place in the order of the job's workers.
    position: int
    agent: str
    status: str
    reason: str
    attempt: int
    started_at: float | None
    ended_at: float | None
    #: Seconds between its attempts, which are not its time.
    idle_seconds: float
    child_job_ids: Sequence[str]
    steps: int | None
    #: As ``max_tokens`` counts tokens; None: unknown.
    tokens: int | None
    cost_usd: float | None
    gates_passed: int
    gates_failed: int
    gates_not_run: int
    #: Number of files that the worker created or changed.
    files: int
    #: True for the chosen candidate; None for a worker without rivals, or before the selection.
    chosen: bool | None


class WorkerColumns(NamedTuple):
    """The same fields as ``WorkerRow`` for many workers: one sequence for each field."""

    id: Sequence[str]
    job_id: Sequence[str]
    task_id: Sequence[str]
    position: Sequence[int]
    agent: Sequence[str]
    status: Sequence[str]
    reason: Sequence[str]
    attempt: Sequence[int]
    started_at: Sequence[float | None]
    ended_at: Sequence[float | None]
    idle_seconds: Sequence[float]
    child_job_ids: Sequence[Sequence[str]]
    steps: Sequence[int | None]
    tokens: Sequence[int | None]
    cost_usd: Sequence[float | None]
    gates_passed: Sequence[int]
    gates_failed: Sequence[int]
    gates_not_run: Sequence[int]
    files: Sequence[int]
    chosen: Sequence[bool | None]


class TaskRow(NamedTuple):
    """A task without its prompt."""

    job_id: str
    id: str
    title: str
    depends_on: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSnapshot:
    """All jobs, tasks and workers of a root job at one moment."""

    #: The root job first; parents before their child jobs.
    jobs: Sequence[JobNode]
    tasks: Sequence[TaskRow]
    #: In the order of their jobs and positions.
    workers: WorkerColumns
    #: The latest event that the rows show.
    last_seq: int = 0


class WorkerOrder(StrEnum):
    #: Order of the tasks.
    INDEX = "index"
    #: The longest first.
    SECONDS = "seconds"
    #: The most expensive first.
    COST = "cost"
    #: Failed workers first, then workers that wait or run.
    ATTENTION = "attention"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFilter:
    """The workers of a job to list. An empty filter selects all workers."""

    job_id: str
    statuses: Collection[str] = ()
    agents: Collection[str] = ()
    #: Part of the id, the task's id or title, or the reason; case does not matter.
    text: str = ""
    order: WorkerOrder = WorkerOrder.INDEX


class TaskLabel(NamedTuple):
    title: str = ""
    model: str | None = None
    role: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPage:
    workers: Sequence[WorkerRow]
    #: By task id, of the workers on the page.
    labels: Mapping[str, TaskLabel]
    total: int
    #: The latest event that the rows show.
    last_seq: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """The jobs to list. None and empty values select all jobs."""

    statuses: Collection[str] = ()
    parent: str | None = None
    root: str | None = None
    depth: int | None = None
    #: Only root jobs that this caller submitted, with their descendants.
    submitted_by: str | None = None
    #: Part of the request or of the id; case does not matter.
    text: str = ""
    #: Labels that a job must have, all of them.
    labels: Sequence[tuple[str, str]] = ()
    ids: Collection[str] | None = None
    #: Jobs that were created at this time or later.
    since: float | None = None


class StatusCount(NamedTuple):
    """Number of workers of one job with one status, and their total usage, including advisers."""

    root_id: str
    job_id: str
    status: str
    workers: int
    #: None: unknown.
    cost_usd: float | None
    tokens: int | None
    #: True if a part of the cost is unknown.
    cost_partial: bool


#: In lists, both are a success.
_COUNTED_AS = {WorkerStatus.RECURSIVE_SUCCESS: WorkerStatus.SUCCESS}
COUNTED = tuple(each for each in WorkerStatus if each not in _COUNTED_AS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Numbers of workers by status, and known usage."""

    counts: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    tokens: int | None = None
    cost_partial: bool = False

    @classmethod
    def of(cls, counts: Iterable[StatusCount]) -> "Progress":
        """Return numbers of workers by status, with zeros, and known usage."""
        numbers = dict.fromkeys(map(str, COUNTED), 0)
        costs, tokens, partial = [], [], False
        for each in counts:
            status = WorkerStatus(each.status)
            numbers[_COUNTED_AS.get(status, status)] += each.workers
            costs += [] if each.cost_usd is None else [each.cost_usd]
            tokens += [] if each.tokens is None else [each.tokens]
            partial |= each.cost_partial
        return cls(
            counts=numbers,
            cost_usd=round(sum(costs), 6) if costs else None,
            tokens=sum(tokens) if tokens else None,
            cost_partial=partial,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class JobCard:
    """A job in a list, with its progress."""

    job: Job
    #: Of its own workers.
    own: Progress
    #: Of its own workers and all of its descendants.
    tree: Progress
    #: Of the job and its descendants.
    needs: Sequence[Need] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CardPage:
    cards: Sequence[JobCard]
    total: int


class UsageBy(StrEnum):
    AGENT = "agent"
    MODEL = "model"
    DAY = "day"
    #: Root jobs, with their descendants.
    JOB = "job"
    #: The values of one label of root jobs.
    LABEL = "label"


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageFilter:
    """The usage to list. An ended worker counts at its end, a running worker at its start."""

    by: UsageBy
    #: The name of the label, for ``UsageBy.LABEL``.
    label: str = ""
    since: float | None = None
    #: Without this time.
    until: float | None = None
    #: Length of the buckets of time; 0: one for all.
    bucket_seconds: int = 0
    #: Only root jobs that this caller submitted, with their descendants.
    submitted_by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageRow:
    """Usage of one key in one bucket of time."""

    key: str
    #: Start of the bucket; None: there are no buckets.
    at: float | None
    jobs: int
    workers: int
    succeeded: int
    tokens_in: int
    tokens_out: int
    cache_read: int
    #: None: unknown.
    cost_usd: float | None
    #: True if a part of the cost was computed from a price table.
    estimated: bool
    #: True if a part of the cost is unknown.
    partial: bool
