"""Lists of jobs, of actions that jobs need from a person, and of usage by key, agent, and model."""

from datetime import datetime

from pydantic import Field

from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.human_needs import NeedKind
from orchestrator.schemas.answers.answer import Answer, Links, Usd, no_items
from orchestrator.schemas.answers.status import PausedAnswer


class JobSummary(Answer):
    """One job in a list."""

    job_id: str
    status: JobStatus
    run: int = 1
    """Number of the current run: a retry or feedback begins the next run."""
    reason: str
    request: str
    """The first 300 characters of the request."""
    depth: int
    root_job_id: str
    parent_job_id: str | None = None
    parent_worker_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    """Seconds from the job's start until its reports were written."""
    paused: PausedAnswer | None = None
    """The job's pause; omitted if the job is not paused."""
    labels: dict[str, str]
    links: Links


class NeedAnswer(Answer):
    """A need: what a person must do for a job."""

    kind: NeedKind
    job_id: str
    root_job_id: str
    worker_id: str | None = None
    task_id: str | None = None
    request: str
    """The first 300 characters of the job's request, in one line."""
    text: str
    """The need as text, in one line."""
    since: datetime
    command: str
    """Command to type; empty: none."""
    links: Links


class NeedsAnswer(Answer):
    """Needs of jobs that wait for a person, the latest first."""

    needs: list[NeedAnswer]
    total: int
    page: int
    page_size: int


class TreeUsage(Answer):
    """Known usage of a job and its descendants."""

    cost_usd: Usd | None = None
    """Known cost in US dollars; omitted if unknown."""
    tokens: int | None = None
    """Known tokens that count toward max_tokens; omitted if unknown."""
    cost_partial: bool = False
    """True if a part of the cost is unknown."""


class UsageRowAnswer(Answer):
    """Usage of one agent, model, day, root job, or label value, in one period."""

    key: str
    """Agent, model, day, root job, or value of the label; empty: none."""
    at: datetime | None = None
    """Start of the hour or day; omitted without `bucket`."""
    jobs: int
    workers: int
    """Number of workers that have started."""
    ended: int
    """Number of these workers that have ended."""
    succeeded: int
    """Number of workers that succeeded."""
    tokens_in: int
    """Known input tokens that were not read from a cache."""
    tokens_out: int
    cache_read: int
    """Known tokens read from a provider's cache."""
    cost_usd: Usd | None = None
    """Known cost; omitted if unknown."""
    estimated: bool
    """True if a part of the cost was computed from a price table."""
    partial: bool
    """True if a part of the cost is unknown."""
    incomplete: int
    """Number of workers, planners, and reviewers whose cost is unknown or only partly known."""


class UsageRowsAnswer(Answer):
    """Usage by agent, model, day, root job, or label value, and by period. An ended worker counts
    in the period of its end. A running worker counts in the period of its start. A worker that
    never started, such as a skipped worker, does not count.
    """

    rows: list[UsageRowAnswer]


class FirstFailureAnswer(Answer):
    """A failed worker, with its reason."""

    worker_id: str
    reason: str
    """First line of the worker's reason, at most 200 characters."""


class JobCardAnswer(JobSummary):
    """A job in a list, with its progress."""

    counts: dict[str, int] = Field(default_factory=dict)
    """Number of workers by status; recursive_success counts as success."""
    tree_counts: dict[str, int] = Field(default_factory=dict)
    """Number of workers by status, including all descendants."""
    usage: TreeUsage | None = None
    """Usage of the job and its descendants."""
    needs: list[NeedAnswer] = Field(default_factory=no_items)
    """What the job and its descendants need from a person."""
    first_failure: FirstFailureAnswer | None = None
    """First failed worker in the order of tasks; omitted for a job that did not end as failed or
    partial."""


class JobsAnswer(Answer):
    """A page of jobs, newest first."""

    jobs: list[JobCardAnswer]
    total: int
    page: int
    page_size: int
