"""The frozen values that everything else speaks of.

Times are seconds since the epoch, UTC; durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from orchestrator.core.states import JobStatus, WorkerStatus

#: How a stop is signed that comes from the limit on wall time.
WALL_TIME = "max_wall_seconds"
#: How stops are signed that come from limits on what agents use.
BUDGET_LIMITS = ("max_steps", "max_tokens", "max_cost_usd")


class WorkerKey(NamedTuple):
    """A worker's name is unique among all workers of one root job."""

    root_id: str
    worker_id: str


class EndedBy(StrEnum):
    #: The process ended by itself.
    EXIT = "exit"
    #: Its time was over.
    TIMEOUT = "timeout"
    #: Somebody asked for it.
    CANCEL = "cancel"
    #: It used more than its limits allow.
    LIMIT = "limit"
    #: The program could not be started.
    SPAWN_FAILED = "spawn_failed"
    #: Its shim died; how it ended is not known.
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stray:
    """A process that had to be swept after the worker's own process ended."""

    pid: int
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How an attempt ended: the content of ``exit.json``."""

    ended_by: EndedBy
    code: int | None = None
    signal: int | None = None
    error: str = ""
    #: Who asked for the stop, in words ("user", "max_wall_seconds", ...).
    stopped_by: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log_bytes: int = 0
    #: Output was dropped because it was more than the log may hold.
    log_truncated: bool = False
    #: Output was lost because the log could not be written.
    log_lost: bool = False
    strays: tuple[Stray, ...] = ()
    #: How its processes were held together; empty when that is not known.
    containment: str = ""


class ErrorClass(StrEnum):
    """What kind of thing went wrong with an agent; it decides whether trying again helps."""

    NONE = ""
    #: Its key or login was refused, or is missing.
    AUTH = "auth"
    #: Its account may not call the model just now.
    RATE_LIMIT = "rate_limit"
    #: The model's service failed, or cannot be reached.
    API = "api"
    #: The tool refuses to work as it was called.
    CONFIG = "config"
    #: It used as many steps, tokens or as much money as it may.
    LIMIT = "limit"
    #: It was not allowed to use a tool that it needed.
    DENIED = "denied"
    #: It ended well and said nothing.
    EMPTY = "empty"
    #: It was stopped by a signal that nobody here sent.
    KILLED = "killed"
    #: It was silent for too long, or did not end after its last word.
    TIMEOUT = "timeout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What an agent says it used; None is "not known", never zero.

    ``input_tokens`` are those read anew: the ones read from a provider's cache or written to it
    are counted by themselves.
    """

    steps: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None
    #: The cost was computed from a price table, not told by the agent.
    cost_estimated: bool = False
    #: The agent was stopped before it told all that it used: these are lower bounds.
    partial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSize:
    """What an attempt was given to read, in bytes of UTF-8."""

    whole: int
    #: Of its beginning, which is the same for every worker of the job.
    shared: int = 0
    #: Of the results of other tasks, where it names a path in place of the text.
    left_out: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What an attempt left behind, read after it ended."""

    output: str = ""
    files_created: tuple[str, ...] = ()
    files_changed: bool = False
    #: The agent's own word on how it went; None where it says nothing.
    claimed_success: bool | None = None
    usage: Usage = field(default_factory=Usage)
    #: The agent's kind of evidence: an empty output is no failure for a shell command.
    output_required: bool = False
    error: str = ""
    error_class: ErrorClass = ErrorClass.NONE
    #: When the agent's account may be used again, as far as its provider says.
    resets_at: float | None = None
    #: None: it was given no prompt, or an earlier server started it.
    prompt: PromptSize | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """One node of a job's dependency graph, as asked for."""

    id: str
    title: str = ""
    prompt: str = ""
    command: str | tuple[str, ...] | None = None
    #: One name, or several candidates that try the task side by side.
    agents: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    timeout: float | None = None
    retries: int | None = None
    role: str | None = None
    model: str | None = None
    files: tuple[str, ...] = ()
    context: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    #: "off": its worker gets a plain directory, no worktree.
    git: str | None = None


#: The index of a planner among the workers of its job: it is none of them.
PLANNER_INDEX = -1
#: The ``plan_source`` of a job for which no plan was possible.
NO_PLAN = "none"
#: The reason of a job whose tasks a person is to let start.
WAITS_FOR_APPROVAL = "waits for approval"
#: The task of a planner, and the role that it plays.
PLANNER = "planner"

#: The error of an attempt that was recorded, and that nobody came to start.
NEVER_BEGAN = "it never began: its server ended before it was started"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobConfig:
    """A job's settings after defaults, ceilings and its parent's have been applied."""

    max_workers: int
    default_timeout: float
    max_retries: int
    #: The caller asked for that many retries; else they stop early when nothing changes.
    retries_asked: bool = False
    execution_mode: str = "native"
    enable_recursion: bool = True
    #: Depth of the deepest child job, counted from the root.
    max_depth: int
    agent: str = "auto"
    max_wall_seconds: float
    max_total_workers: int | None = None
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    #: A child job that asked for limits of its own: they are kept free for it.
    budget_asked: bool = False
    merge_strategy: str = "auto"
    git: str = "auto"
    #: The commit that workers' worktrees start from; empty: they have plain directories.
    base: str = ""
    #: What to know of that, in words.
    git_note: str = ""
    planner: str = "rules"
    #: What every worker of the job is told, beside the request.
    context: str = ""
    #: Files that every worker of the job is given to read.
    context_files: tuple[str, ...] = ()
    #: The plan waits until a person approves it.
    approve: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request."""

    id: str
    root_id: str
    depth: int
    request: str
    config: JobConfig
    status: JobStatus = JobStatus.PENDING
    reason: str = ""
    #: The worker that started it; None for a root job.
    parent_worker_id: str | None = None
    parent_job_id: str | None = None
    #: Fingerprint of request and tasks: the same for the same question.
    digest: str = ""
    #: Name of the API key, or of the worker, that submitted it.
    submitted_by: str = ""
    idempotency_key: str | None = None
    #: "given", "rules", or the agent that makes the tasks, or has made them.
    plan_source: str = "given"
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    cancelled_by: str | None = None

    @property
    def is_root(self) -> bool:
        return self.parent_worker_id is None

    @property
    def awaits_approval(self) -> bool:
        """It has its tasks, and a person is to let them start."""
        return self.status is JobStatus.PLANNING and self.reason == WAITS_FOR_APPROVAL

    @property
    def out_of_time(self) -> bool:
        """Stopped because its wall time, or its root's, was over."""
        return (self.cancelled_by or "").startswith(WALL_TIME)

    @property
    def over_budget(self) -> bool:
        """Stopped because a limit on what agents use was reached, here or above."""
        return (self.cancelled_by or "").startswith(BUDGET_LIMITS)

    @property
    def cancelled(self) -> bool:
        """Stopped because somebody asked for it, not by a limit."""
        return self.cancelled_by is not None and not (self.out_of_time or self.over_budget)

    @property
    def wall_end(self) -> float:
        """When its wall time is over; counted anew from a retry."""
        return (self.started_at or self.created_at) + self.config.max_wall_seconds

    @property
    def parent_key(self) -> WorkerKey | None:
        return WorkerKey(self.root_id, self.parent_worker_id) if self.parent_worker_id else None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerResult:
    """What a worker came back with."""

    output: str = ""
    files_created: tuple[str, ...] = ()
    #: In all, the attempt that runs now included.
    usage: Usage = field(default_factory=Usage)
    #: By the attempts before the present one; None: by none.
    usage_before: Usage | None = None
    exit_code: int | None = None
    signal: int | None = None
    #: Summed over all attempts.
    work_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log_truncated: bool = False
    strays: tuple[Stray, ...] = ()
    #: How many child jobs it asked for in vain because a limit was hit, over all attempts.
    refused_child_jobs: int = 0
    #: Of the latest attempt for which it is known.
    prompt: PromptSize | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One process (with its directory and log) that carries out a task for one agent."""

    id: str
    job_id: str
    root_id: str
    task_id: str
    #: Position among the job's workers: task order, then candidate order; PLANNER_INDEX.
    index: int
    depth: int
    agent: str
    status: WorkerStatus = WorkerStatus.PENDING
    reason: str = ""
    #: Number of the current or latest attempt; 0 before the first.
    attempt: int = 0
    #: The number of the attempt at which the present retry budget began.
    budget_from: int = 0
    #: Fingerprint of the latest failure, to notice the same one twice.
    failure: str = ""
    #: Not to be started before this time.
    not_before: float = 0.0
    child_job_ids: tuple[str, ...] = ()
    #: How many workers were started on its behalf: the next one's number is one higher.
    child_workers: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    result: WorkerResult | None = None

    @property
    def key(self) -> WorkerKey:
        return WorkerKey(self.root_id, self.id)

    @property
    def is_planner(self) -> bool:
        """It makes the job's tasks, and carries out none of them."""
        return self.index == PLANNER_INDEX


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One run of a worker; recorded before it is started."""

    root_id: str
    worker_id: str
    number: int
    job_id: str
    started_at: float
    #: SHA-256 of the key that this attempt alone may use.
    token_hash: str = ""
    ended_at: float | None = None
    exit: Exit | None = None
    reason: str = ""

    @property
    def key(self) -> WorkerKey:
        return WorkerKey(self.root_id, self.worker_id)
