"""The complete answers about one job: its workers and attempts, and its tree."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from orchestrator.core.locks.lock_table import LockKind
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.failure import FailureKind, RetryStrategy
from orchestrator.core.model.states import (
    JobStatus,
    MergeState,
    StopCause,
    WaitKind,
    WorkerKind,
    WorkerStatus,
)
from orchestrator.schemas.answers.common import (
    Answer,
    Links,
    PlanFallbackAnswer,
    SessionAnswer,
    UnjudgedFileAnswer,
    UnjudgedGateAnswer,
)
from orchestrator.schemas.answers.gates import GateAnswer, GateResultAnswer, JobGateAnswer


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
    cost_partial: bool | None = None
    """What some of them cost is not known: it is more than this."""
    partial: bool | None = None
    """An agent was stopped before it told all: these are lower bounds."""


class StrayAnswer(Answer):
    """A process that had to be swept after the worker's own had ended."""

    pid: int
    command: str


class FailureAnswer(Answer):
    """What was made of a failed attempt."""

    kind: FailureKind
    cause: str = ""
    """What happened: equal for failures that are alike, such as gates, asked or no_changes."""
    strategy: RetryStrategy
    """What the next attempt begins with; escalate: none follows by itself."""
    reason: str
    confidence: float
    """From 0 to 1."""
    checkpoint: str
    """The one that was gone back to; empty: the next attempt goes on with what this one left."""
    kept: str
    """The checkpoint that keeps what it left; empty for a worker without a worktree."""


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
    """Left out for an attempt that did not fail."""
    session: SessionAnswer | None = None
    """Left out for an agent without sessions, and while the attempt runs."""


class HeldLock(Answer):
    """What a worker keeps others off."""

    name: str
    kind: LockKind
    """claim: by its task, until the worker is done; lease: taken while it runs."""
    number: int | None = None
    """The fencing number of a lease."""


class WaitingAnswer(Answer):
    """What a worker waits for."""

    kind: WaitKind
    name: str
    """Which one: the agent, the worker or the locks; empty where the kind says it all."""


class WorkerAnswer(Answer):
    """One worker with everything about it."""

    worker_id: str
    task_id: str
    index: int
    kind: WorkerKind
    depth: int
    agent: str
    status: WorkerStatus
    reason: str
    waiting_for: WaitingAnswer | None = None
    """Left out for a worker that waits for nothing."""
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
    locks: list[HeldLock] = Field(default_factory=list)
    """What it holds."""
    refused_child_jobs: int
    """How many child jobs it asked for in vain because a limit was hit, up to its last end."""
    gates: list[GateResultAnswer]
    """What the checks of its latest attempt came to."""
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
    writes: list[str] = Field(default_factory=list)
    """Paths that it promises to write."""
    locks: list[str] = Field(default_factory=list)
    """What no other task may hold at the same time."""
    context: str
    env: list[str]
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    git: str | None = None
    workdir: str = "own"
    """Where its worker starts: own, or project."""
    gates: list[GateAnswer]
    """Beside those of the job."""
    review: str = ""
    """The agent that compares the candidates; empty: none."""
    candidates: list[str] = Field(default_factory=list)
    """The workers that try it, the best first once that is known; empty before it is planned."""
    chosen: str | None = None
    """The worker whose work counts; left out while that is open, or where none succeeded."""


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
    history: str
    resolve: str
    git: str
    base: str
    """The commit that workers' worktrees start from; empty: they have plain directories."""
    base_branch: str = ""
    """The branch that it was, by name or as checked out; empty: none, or a child job."""
    project: str = ""
    """The host project, if `--project` or `orchestrator.project_root` named it; else empty."""
    include_dirty: bool
    """Whether that commit has the uncommitted work of the user's checkout."""
    git_note: str
    """What to know of that."""
    gates: list[JobGateAnswer]
    """What the result of every worker must pass."""
    unjudged: Literal["tell", "fail"]
    """What becomes of a result that changes code which no gate has judged."""
    planner: str
    context: str
    context_files: list[str]
    approve: bool
    labels: dict[str, str]


class EstimateAnswer(Answer):
    """What tasks may come to use: an estimate for one attempt of each worker and reviewer, without
    child jobs, retries, and what checks or merging send back."""

    workers: int
    reviewers: int = 0
    """Those that compare the candidates of a task, beside the workers."""
    tokens: int
    cost_usd: float | None = None
    """In US dollars; null when it is not known."""
    review_tokens: int = 0
    """Of the tokens, the part of reviewers."""
    review_cost_usd: float | None = None
    """Of the cost, the part of reviewers; null when it is not known."""
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
    stop_cause: StopCause | None = None
    """Left out for a job that was not stopped."""
    merge_state: MergeState
    """How far the changes of its workers are one result."""
    not_judged: str | None = None
    """Why no gate has judged the code that its result changes, or which required gates, and which
    of its files none; null if all is judged."""
    unjudged_gates: list[UnjudgedGateAnswer]
    """Required gates that did not run on the code that its result changes."""
    unjudged_files: list[UnjudgedFileAnswer] = Field(default_factory=list)
    """Sources that its result changes and that no gate judged, though gates have run."""
    changed_nothing: list[str] = Field(default_factory=list)
    """Workers that succeeded without a change of files, if no answer was all that was asked for."""
    nothing_built: bool = False
    """The request asks for something to be made, and no AI agent worked on it."""
    awaits_approval: bool = False
    """The job has its tasks, and a person is to let them start."""
    plan_source: str
    """``given``, ``rules``, the agent that made the plan, or ``none``: no plan was made."""
    plan_fallback: PlanFallbackAnswer | None = None
    """Why the rules made the plan in place of an agent; null where they did not."""
    config: ConfigAnswer
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    tasks: list[TaskAnswer]
    workers: list[WorkerAnswer]
    planner: WorkerAnswer | None = None
    """The worker that makes the tasks, or made them; null where no agent does."""
    reviewers: list[WorkerAnswer] = Field(default_factory=list)
    """The workers that compare the candidates of a task, or did."""
    estimate: EstimateAnswer | None = None
    """Only while the job waits for approval."""
    child_job_ids: list[str]
    usage: UsageAnswer
    """Summed over the job's own workers, its planner and its reviewers."""
    left: dict[str, Any]
    workspace: str
    final_report: str
    links: Links


class CheckpointAnswer(Answer):
    """A worker's worktree as it was at some time."""

    worker_id: str
    name: str
    """start, 1-before, 1-after, ... ; 1-left-1: what was there when a person rolled back."""
    attempt: int
    """0 for what the worker began with."""
    at: datetime | None = None
    commit: str
    ref: str
    files_changed: int
    """How many files differ from the checkpoint before it."""
    ignored: bool
    """Files that git ignores are part of it."""
    not_kept: dict[str, str]
    """Those of them that are not, and why."""
    gates: str
    """What the checks came to; empty when there were none."""
    current: bool
    """The worker's branch is there now."""


class CheckpointsAnswer(Answer):
    """The checkpoints of a job's workers, as they were made."""

    job_id: str
    checkpoints: list[CheckpointAnswer]


class RolledBackAnswer(Answer):
    """A worker's branch is at a checkpoint again, and its worktree, where there is one."""

    job_id: str
    worker_id: str
    checkpoint: str
    commit: str
    kept: str
    """The checkpoint that keeps what was there before."""
    links: Links


class RecountedAnswer(Answer):
    """What a worker's branch changes, with what a person committed there since its end."""

    job_id: str
    worker_id: str
    files_created: list[str]
    links: Links


class RemovedAnswer(Answer):
    """A job that was removed from disk and database."""

    job_id: str
    kept: list[str]
    """Refs in git that keep what is in no result and on no branch of the user's."""


class DiscardedAnswer(Answer):
    """A job without its branches."""

    job_id: str
    removed: list[str]
    """The branches and kept refs that were there."""
    links: Links


class TreeWorker(Answer):
    """A worker with the child jobs it started."""

    worker_id: str
    task_id: str
    agent: str
    status: WorkerStatus
    reason: str
    waiting_for: WaitingAnswer | None = None
    """Left out for a worker that waits for nothing."""
    seconds: float | None = None
    usage: UsageAnswer | None = None
    """Its own; absent where nothing is known."""
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
    usage: UsageAnswer | None = None
    """Of all its workers and of all child jobs below; absent where nothing is known."""
    caps: dict[str, float] | None = None
    """What they may use: max_steps, max_tokens, max_cost_usd; absent where there is no limit."""
    workers: list[TreeWorker]
