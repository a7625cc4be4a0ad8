"""Results of reads that list many workers: light rows, without whole documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class JobNode(NamedTuple):
    """A job of a tree, without its settings and facts."""

    id: str
    parent_job_id: str | None
    parent_worker_id: str | None
    depth: int
    status: str
    request: str
    created_at: float
    started_at: float | None


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
    """The same for many workers: one sequence for each field of ``WorkerRow``."""

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
