"""The answers with all details of a job: workers, attempts, and job tree."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from orchestrator.core.locks.lock_table import LockKind
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.failure import FailureKind, RetryStrategy
from orchestrator.core.model.human_input.question import Decision
from orchestrator.core.model.states import (
    JobStatus,
    MergeState,
    StopCause,
    WaitKind,
    WorkerKind,
    WorkerStatus,
)
from orchestrator.schemas.answers.answer import Answer, Links, Usd, no_items
from orchestrator.schemas.answers.gates import GateAnswer, GateResultAnswer, JobGateAnswer
from orchestrator.schemas.answers.messages_and_feedback import FeedbackAnswer, MessageAnswer
from orchestrator.schemas.answers.status import (
    LandedAnswer,
    PausedAnswer,
    PlanFallbackAnswer,
    QuestionAnswer,
    SessionAnswer,
    UnjudgedFileAnswer,
    UnjudgedGateAnswer,
)


class UsageAnswer(Answer):
    """Usage that agents report; unknown values are omitted."""

    steps: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: Usd | None = None
    cost_estimated: bool | None = None
    """True if part of the cost was computed from a price table."""
    cost_partial: bool | None = None
    """True if part of the cost is unknown; the real cost is higher."""
    partial: bool | None = None
    """True if an agent has not reported all of its usage; the values are lower bounds."""


class StrayAnswer(Answer):
    """A leftover process: still running after the worker's main process exited."""

    pid: int
    command: str


class FailureAnswer(Answer):
    """Kind, cause, and retry strategy of a failed attempt."""

    kind: FailureKind
    cause: str = ""
    """Specific cause, such as gates, asked, or no_changes."""
    strategy: RetryStrategy
    """How the next attempt starts; escalate: no automatic retry."""
    reason: str
    confidence: float
    """Confidence in cause and strategy, from 0 to 1."""
    checkpoint: str
    """Checkpoint of the rollback; empty: the next attempt continues with the current files."""
    saved_as: str
    """Checkpoint with the state after the attempt; empty for a worker without a worktree."""
    kept: str
    """Alias of saved_as."""


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
    failure: FailureAnswer | None = None
    """Classification of the failure; omitted for an attempt that did not fail."""
    session: SessionAnswer | None = None
    """Session of the attempt; omitted for an agent without sessions, and while the attempt runs."""


class HeldLock(Answer):
    """A lock of a worker."""

    name: str
    kind: LockKind
    """claim: the task lists the lock, and the worker holds it until its end. lease: the worker
    acquired the lock while it ran."""
    number: int | None = None
    """Fencing number of a lease."""


class WaitingAnswer(Answer):
    """What a worker waits for."""

    kind: WaitKind
    name: str
    """Name of the agent, worker, or locks that the worker waits for; empty for other kinds."""


class WorkerAnswer(Answer):
    """All details of a worker."""

    worker_id: str
    task_id: str
    index: int
    kind: WorkerKind
    depth: int
    agent: str
    status: WorkerStatus
    reason: str
    waiting_for: WaitingAnswer | None = None
    """What the worker waits for; omitted for a worker that does not wait."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    """Seconds from the worker's start to its end; omitted during the first attempt. With several
    attempts, the sum of all attempts, including the running attempt so far."""
    work_seconds: float | None = None
    """Seconds of all ended attempts."""
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    output: str
    files_created: list[str]
    usage: UsageAnswer
    log_truncated: bool
    locks: list[HeldLock] = Field(default_factory=no_items)
    """Locks that the worker holds."""
    refused_child_jobs: int
    """Number of rejected child jobs (limit or cycle), without child jobs of a running attempt."""
    gates: list[GateResultAnswer]
    """Results of the gates on the latest attempt."""
    leftover_processes: list[StrayAnswer]
    """Processes that were still running after the main process of an attempt exited."""
    strays: list[StrayAnswer]
    """Alias of leftover_processes."""
    attempts: list[AttemptAnswer]
    child_job_ids: list[str]
    commit: str = ""
    """Head of the worker's branch at the end of its latest attempt; empty without a branch."""
    messages: list[MessageAnswer] = Field(default_factory=no_items)
    """Messages from people to the worker, in order."""
    feedback: list[FeedbackAnswer] = Field(default_factory=no_items)
    """Comments from people on the worker's change, the oldest first."""
    question: QuestionAnswer | None = None
    """The question that the worker's task asked; omitted for a task that an agent runs."""
    workspace: str
    log: str | None = None
    """Path of the log; omitted for a worker that has not started."""


class CandidateSettingsAnswer(Answer):
    """Settings of one agent of a task, which replace the task's settings for this agent."""

    name: str
    model: str | None = None
    timeout: float | None = None
    context: str = ""
    """Text in addition to the task's context."""


class TaskAnswer(Answer):
    """One task as in the request, except that env has only the names of variables."""

    id: str
    title: str
    prompt: str
    command: str | list[str] | None = None
    approve: str | None = None
    """The question for a person; omitted for a task that an agent runs."""
    on_timeout: Decision | None = None
    """Answer to the question after the timeout; omitted: reject."""
    agents: list[str]
    candidate_settings: list[CandidateSettingsAnswer] = Field(default_factory=no_items)
    """Settings of the agents, one entry for each agent; empty if no agent has its own settings."""
    depends_on: list[str]
    timeout: float | None = None
    retries: int | None = None
    role: str | None = None
    model: str | None = None
    files: list[str]
    writes: list[str] = Field(default_factory=no_items)
    """Paths that the task promises to write."""
    locks: list[str] = Field(default_factory=no_items)
    """Locks that the task holds while it runs."""
    context: str
    env: list[str]
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    git: str | None = None
    workdir: str = "own"
    """Directory of the task's worker: own or project."""
    requires: dict[str, str] = Field(default_factory=dict)
    """Labels that the machine of the task's worker must have."""
    node: str = ""
    """Machine of the task's worker; empty: any."""
    gates: list[GateAnswer]
    """Gates in addition to the job's gates."""
    review: str = ""
    """Agent that reviews the candidates; empty: none."""
    candidates: list[str] = Field(default_factory=no_items)
    """Workers of the task, the best first after the comparison; empty before planning."""
    chosen: str | None = None
    """The chosen worker; omitted before the comparison, or if none succeeded."""


class ConfigAnswer(Answer):
    """The job's settings, with defaults filled in and ceilings applied."""

    max_workers: int
    default_timeout: float
    max_retries: int
    retry_backoff_seconds: float
    """Seconds before a worker's first retry; doubled before each further retry, at most 60."""
    execution_mode: str
    enable_recursion: bool
    max_recursion_depth: int
    agent: str
    max_wall_seconds: float
    max_total_workers: int | None = None
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    on_limit: Literal["stop", "ask"]
    """Action at a cap or the end of the wall time: stop (the job), or ask (pause, and ask a
    person)."""
    ask_seconds: float
    """Maximum seconds for which a job waits for a person after 'on_limit: ask' has paused it."""
    merge_strategy: str
    history: str
    resolve: str
    git: str
    base: str
    """Base commit of the worktrees; empty: workers have plain directories."""
    base_branch: str = ""
    """Branch of the base; empty: no branch, or a child job."""
    project: str = ""
    """The project, if `--project` or `orchestrator.project_root` named it; otherwise empty."""
    include_dirty: bool
    """True if the base includes uncommitted changes of the user's checkout."""
    git_note: str
    """Note on the base, such as that workers get no worktrees."""
    gates: list[JobGateAnswer]
    """Gates that run on the result of every worker, and on the merged result."""
    unjudged: Literal["tell", "fail"]
    """What happens if gates did not judge all changed code. tell: the job's reason names the code.
    fail: the job fails."""
    planner: str
    context: str
    context_files: list[str]
    approve: bool
    labels: dict[str, str]


class EstimateAnswer(Answer):
    """Estimated usage of one attempt of each worker and reviewer. Child jobs, retries, and merge
    rejections are not included.
    """

    workers: int
    reviewers: int = 0
    """Number of reviewers, in addition to the workers."""
    tokens: int
    cost_usd: Usd | None = None
    """Cost in US dollars; omitted if unknown."""
    review_tokens: int = 0
    """Tokens of the reviewers, which are a part of `tokens`."""
    review_cost_usd: Usd | None = None
    """Cost of the reviewers, which is a part of `cost_usd`; omitted if unknown."""
    from_workers: int
    """Number of earlier workers that the estimate is based on; 0: a rule of thumb."""


class JobAnswer(Answer):
    """All details of a job."""

    job_id: str
    root_job_id: str
    depth: int
    parent_job_id: str | None = None
    parent_worker_id: str | None = None
    request: str
    status: JobStatus
    run: int = 1
    """Number of the current run: a retry or feedback begins the next run."""
    reason: str
    remarks: list[str] = Field(default_factory=no_items)
    """Sentences of the reason, except the sentence that names the unsuccessful workers."""
    submitted_by: str
    cancelled_by: str | None = None
    stop_cause: StopCause | None = None
    """Cause of the stop; omitted for a job that was not stopped."""
    merge_state: MergeState
    """Merge state of the workers' changes."""
    not_judged: str | None = None
    """The missing gates or the unjudged files, as text; omitted if gates judged all changed
    code."""
    unjudged_gates: list[UnjudgedGateAnswer]
    """Required gates that did not judge the changed code."""
    unjudged_files: list[UnjudgedFileAnswer] = Field(default_factory=no_items)
    """Changed source files that no gate judged, although gates ran."""
    changed_nothing: list[str] = Field(default_factory=no_items)
    """Workers that succeeded without changed files, if the request asks for changes."""
    nothing_built: bool = False
    """True if the request may ask for changes, but no AI agent worked on the job."""
    paused: PausedAnswer | None = None
    """The job's pause; omitted if the job is not paused."""
    lacks_promised_files: list[str] = Field(default_factory=no_items)
    """Successful workers whose promised files are missing. A retry of the job also runs these
    workers again."""
    awaits_approval: bool = False
    """True if the job has a plan that waits for a person's approval."""
    plan_source: str
    """Source of the plan: ``given`` (the request has tasks), ``rules``, the name of the planning
    agent, or ``none`` (there is no plan)."""
    plan_fallback: PlanFallbackAnswer | None = None
    """Fallback to the rules instead of an agent; omitted without a fallback."""
    config: ConfigAnswer
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    """Seconds from the job's start to the end of its last worker, as in the reports; present after
    the end of the job."""
    tasks: list[TaskAnswer]
    workers: list[WorkerAnswer]
    page: int | None = None
    """Page of the workers and their tasks; omitted if all workers are in the answer."""
    page_size: int | None = None
    total_workers: int | None = None
    """Number of all workers; omitted if all workers are in the answer."""
    planner: WorkerAnswer | None = None
    """The worker of the planning agent; omitted if no agent plans."""
    reviewers: list[WorkerAnswer] = Field(default_factory=no_items)
    """Workers of reviewing agents."""
    estimate: EstimateAnswer | None = None
    """Estimated usage; present while the job waits for approval."""
    landed: list[LandedAnswer] = Field(default_factory=no_items)
    """Branches on which the current result has landed, except landings that were undone."""
    discarded: bool = False
    """True if a person removed the job's branches and checkpoints."""
    child_job_ids: list[str]
    usage: UsageAnswer
    """Usage of the job's own workers, planner, and reviewers, added up; without child jobs."""
    remaining: dict[str, Any]
    """Remaining quota of a new worker of this job: depth, child jobs, and seconds; also workers,
    steps, tokens, and cost, if they are limited."""
    left: dict[str, Any]
    """Alias of remaining."""
    workspace: str
    final_report: str
    links: Links


class TreeWorker(Answer):
    """A worker with its child jobs."""

    worker_id: str
    task_id: str
    agent: str
    status: WorkerStatus
    reason: str
    waiting_for: WaitingAnswer | None = None
    """What the worker waits for; omitted for a worker that does not wait."""
    seconds: float | None = None
    usage: UsageAnswer | None = None
    """Usage of the worker; omitted if unknown."""
    child_jobs: list["TreeAnswer"]


class TreeAnswer(Answer):
    """A job with its workers, and with the child jobs of each worker."""

    job_id: str
    status: JobStatus
    reason: str
    depth: int
    request: str
    """The first 300 characters of the request."""
    created_at: datetime
    ended_at: datetime | None = None
    seconds: float | None = None
    """Seconds from the job's start until its reports were written."""
    usage: UsageAnswer | None = None
    """Usage of all workers and all child jobs; omitted if unknown."""
    caps: dict[str, float] | None = None
    """Caps: max_steps, max_tokens, and max_cost_usd; omitted if the job has no cap."""
    workers: list[TreeWorker]
