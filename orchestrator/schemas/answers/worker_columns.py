"""The answer that lists all workers of a job tree, with one list for each field."""

from typing import Any

from orchestrator.core.model.states import JobStatus
from orchestrator.schemas.answers.answer import Answer


class ColumnsJob(Answer):
    """A job of the tree."""

    job_id: str
    parent_worker: str | None
    """Worker that started the job; null for a root job."""
    depth: int
    status: JobStatus
    request: str
    """The first 200 characters of the request."""


class ColumnsAnswer(Answer):
    """All workers of a job and its descendants, with one list (column) for each field. If all
    values of a column are equal, the field has this value instead of a list.
    """

    seq: int
    """Id of the latest event that the columns show; a stream continues after this event."""
    run: int = 1
    """Number of the job's current run."""
    at: float
    """Creation time of the job itself (Unix time)."""
    n: int
    """Number of workers."""
    jobs: list[ColumnsJob]
    """The job itself, then its descendants."""
    agents: list[str]
    """Names of agents. The column `a` has indexes of this list."""
    statuses: list[str]
    """Names of statuses. The column `s` has indexes of this list."""
    worker: Any
    """Ids of workers, without the prefix `worker_`: 17 for worker_17, "2_17" for worker_2_17. null:
    the ids are worker_1 to worker_n, in this order."""
    task: Any
    """Ids of tasks."""
    title: Any
    """Titles of tasks; empty if equal to the task's id."""
    j: Any
    """Indexes of the workers' jobs in the list `jobs`, from 0."""
    s: Any
    """Indexes of the workers' statuses in the list `statuses`, from 0."""
    a: Any
    """Indexes of the workers' agents in the list `agents`, from 0."""
    t0: Any
    """Start, in seconds after the time `at`; null: not started."""
    t1: Any
    """End, in seconds after the time `at`; null: not ended."""
    idle: Any
    """Seconds between attempts. The worker's own time is t1 - t0 - idle."""
    cost: Any
    """Known cost in US dollars."""
    tokens: Any
    """Known tokens that count toward max_tokens."""
    attempt: Any
    """Numbers of attempts."""
    files: Any
    """Numbers of created or changed files."""
    chosen: Any
    """true: the chosen candidate; false: another candidate; 0: no candidate, or no choice yet."""
    parent: Any
    """Indexes of parent workers, from 0; -1: none."""
    gates: Any
    """For each worker: the list [passed gates, failed gates, gates that did not run]; the number 0
    instead of the list: no gates.
    """
    deps: Any
    """For each worker: the list of its dependencies' workers, as indexes from 0; the number 0
    instead of the list: no dependency.
    """
    reason: dict[int, str]
    """Reasons of the first 1,000 workers that have not succeeded, by the worker's index."""
    chain: list[int]
    """Indexes, from 0, of the workers on the job's critical path: the longest chain of workers in
    which each worker waits for the previous worker."""
