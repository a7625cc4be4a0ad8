"""The answers that tell everything about one job: its workers and attempts, and its tree."""

from datetime import datetime
from typing import Any

from pydantic import Field

from orchestrator.core.model import EndedBy
from orchestrator.core.states import JobStatus, WorkerStatus
from orchestrator.schemas.answers import Answer, Links


class UsageAnswer(Answer):
    """What agents say they used; what is not known is left out."""

    steps: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None
    cost_estimated: bool | None = None
    """Some of the cost was computed from a price table."""
    partial: bool | None = None
    """An agent was stopped before it told all: these are lower bounds."""


class StrayAnswer(Answer):
    """A process that had to be swept after the worker's own had ended."""

    pid: int
    command: str


class AttemptAnswer(Answer):
    """One run of a worker."""

    number: int
    started_at: datetime
    ended_at: datetime | None = None
    seconds: float | None = None
    reason: str
    ended_by: EndedBy | None = None
    exit_code: int | None = None
    signal: int | None = None
    stopped_by: str | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


class WorkerAnswer(Answer):
    """One worker with everything about it."""

    worker_id: str
    task_id: str
    index: int
    depth: int
    agent: str
    status: WorkerStatus
    reason: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    work_seconds: float | None = None
    """Summed over all attempts."""
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    output: str
    files_created: list[str]
    usage: UsageAnswer
    log_truncated: bool
    refused_child_jobs: int
    """How many child jobs it asked for in vain because a limit was hit, up to its last end."""
    strays: list[StrayAnswer]
    attempts: list[AttemptAnswer]
    child_job_ids: list[str]
    workspace: str
    log: str | None = None
    """Left out for a worker that never ran."""


class TaskAnswer(Answer):
    """One task as it was asked for; names of variables only, not their values."""

    id: str
    title: str
    prompt: str
    command: str | list[str] | None = None
    agents: list[str]
    depends_on: list[str]
    timeout: float | None = None
    retries: int | None = None
    role: str | None = None
    model: str | None = None
    files: list[str]
    context: str
    env: list[str]
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    git: str | None = None


class ConfigAnswer(Answer):
    """The job's settings after defaults and ceilings."""

    max_workers: int
    default_timeout: float
    max_retries: int
    execution_mode: str
    enable_recursion: bool
    max_recursion_depth: int
    agent: str
    max_wall_seconds: float
    max_total_workers: int | None = None
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    merge_strategy: str
    git: str
    base: str
    """The commit that workers' worktrees start from; empty: they have plain directories."""
    git_note: str
    """What to know of that."""
    planner: str
    context: str
    context_files: list[str]
    approve: bool
    labels: dict[str, str]


class EstimateAnswer(Answer):
    """What tasks may come to use: an estimate for one attempt each, without child jobs."""

    workers: int
    tokens: int
    cost_usd: float | None = None
    """In US dollars; null when it is not known."""
    from_workers: int
    """Earlier workers whose own figures it is made from; 0: it is a rule of thumb."""


class JobAnswer(Answer):
    """Everything about one job."""

    job_id: str
    root_job_id: str
    depth: int
    parent_job_id: str | None = None
    parent_worker_id: str | None = None
    request: str
    status: JobStatus
    reason: str
    submitted_by: str
    cancelled_by: str | None = None
    plan_source: str
    config: ConfigAnswer
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    tasks: list[TaskAnswer]
    workers: list[WorkerAnswer]
    planner: WorkerAnswer | None = None
    """The worker that makes the tasks, or made them; null where no agent does."""
    estimate: EstimateAnswer | None = None
    """Only while the job waits for approval."""
    child_job_ids: list[str]
    usage: UsageAnswer
    """Summed over the job's own workers and its planner."""
    left: dict[str, Any]
    workspace: str
    final_report: str
    links: Links


class ConflictAnswer(Answer):
    """A file that two workers changed in ways that exclude each other."""

    worker_id: str
    """The later one of both."""
    branch: str
    """That worker's."""
    path: str
    base: str = ""
    """The blob that both began with; empty where there was none."""
    ours: str = ""
    """The blob in the merged result before; empty where it has none."""
    theirs: str = ""
    """The blob on the worker's branch; empty where it has none."""
    resolved: bool = False
    """By merge_strategy theirs: the worker's file is in the result."""


class ConflictsAnswer(Answer):
    """What became of a job's changes to the host project's repository."""

    job_id: str
    strategy: str
    base: str = ""
    """The commit that workers started from; empty when the job has nothing to do with git."""
    branch: str = ""
    """Of the merged result; empty when there is none."""
    commit: str = ""
    merged: list[str] = Field(default_factory=list)
    """Workers whose changes are in it."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Workers whose changes are not, and the branches that keep them."""
    conflicts: list[ConflictAnswer] = Field(default_factory=list)
    leaks: list[str] = Field(default_factory=list)
    """What changed in the user's checkout while the job ran."""
    errors: list[str] = Field(default_factory=list)
    """What could not be done."""


class TreeWorker(Answer):
    """A worker with the child jobs it started."""

    worker_id: str
    task_id: str
    agent: str
    status: WorkerStatus
    reason: str
    seconds: float | None = None
    child_jobs: list["TreeAnswer"]


class TreeAnswer(Answer):
    """A job with its workers, theirs with their child jobs, and so on."""

    job_id: str
    status: JobStatus
    reason: str
    depth: int
    request: str
    """The first 300 characters."""
    created_at: datetime
    ended_at: datetime | None = None
    seconds: float | None = None
    workers: list[TreeWorker]
