"""Answers to callers. A new version may add fields, but may not change or remove the existing
fields.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.events import EventKind
from orchestrator.core.model.gate import GateCause
from orchestrator.core.model.human_input import Decision, PauseCause, RunningMode
from orchestrator.core.model.job_facts import LossCause, UnjudgedCause
from orchestrator.core.model.repository_changes import ChangedKind, RepositoryAlteration
from orchestrator.core.model.states import JobStatus, MergeState, WorkerStatus
from orchestrator.core.outcome.job.needs import NeedKind
from orchestrator.core.outcome.job.unmerged_changes import OutsideCause
from orchestrator.core.text.field_descriptions import DescribedFields
from orchestrator.schemas.fields.default_values import no_items


class Answer(DescribedFields, BaseModel):
    """Base of all answers. Fields without a value are omitted."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    def as_json(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        return self.model_dump(mode="json", exclude_none=True)


Links = dict[str, str]


class AcceptedAnswer(Answer):
    """The job is stored and will run."""

    job_id: str
    status: JobStatus
    links: Links
    duplicate: bool = False
    """True if the job already existed: same request, or same Idempotency-Key."""
    remaining: dict[str, Any] = {}
    """Remaining quota of a worker of this job: depth, child jobs, workers, and seconds."""
    left: dict[str, Any] = {}
    """Alias of remaining."""
    caller_remaining: dict[str, Any] = {}
    """Remaining quota of the worker that submitted the job."""
    caller_left: dict[str, Any] = {}
    """Alias of caller_remaining."""
    limits_notice: str | None = None
    """Settings in workers.limits that this machine does not enforce exactly."""


class UsedAnswer(Answer):
    """Answer to a usage report."""

    stop: str
    """Reason for the worker to stop now; empty if it may continue."""
    waiting: bool
    """True if the worker waits for child jobs or a lock, and so may have no output."""
    capped: bool
    """True if a cap applies to the worker: report each step at once."""


class SessionAnswer(Answer):
    """Session of an AI tool."""

    id: str
    attempt: int
    """Number of the latest attempt in the session."""
    resumed: bool
    """True if that attempt resumed the session; false if it started the session."""


class TaskResult(Answer):
    """Result of one worker."""

    worker_id: str
    task_id: str
    status: WorkerStatus
    output: str
    files_created: list[str]
    agent: str
    reason: str
    """Reason of the status, as text."""
    unchanged: bool | None = None
    """True if the worker changed no file in its worktree; omitted without a worktree."""
    missing: list[str] = Field(default_factory=no_items)
    """Promised files that do not exist."""
    saved: list[str] = Field(default_factory=no_items)
    """Promised files that git ignores; copies are in files/ of the worker's directory."""
    outside: list[str] = Field(default_factory=no_items)
    """Files outside of the worktree that the agent changed."""
    chosen: bool | None = None
    """True for the chosen candidate of a task; omitted for a single worker."""
    attempts: int
    session: SessionAnswer | None = None
    """Latest session; omitted for an agent without sessions."""
    seconds: float | None = None
    """Seconds from the first start to the end."""
    exit_code: int | None = None
    workspace: str
    """Directory of the worker."""
    log: str | None = None
    """Path of the log; omitted for a worker that has not started."""
    child_job_id: str | None = None
    """Latest child job."""
    child_job_ids: list[str]
    child_results: list["TaskResult"]
    """The `results.tasks` of the job `child_job_id`."""


class Results(Answer):
    """Results of a job so far; complete after its end."""

    tasks: list[TaskResult]
    """One result for each worker, in the order of the workers' numbers."""
    workspace: str
    final_report: str
    changes: list[str] = Field(default_factory=no_items)
    """Merge results of the workers' changes, as text; present after the end of the job."""


class RepositoryChangeAnswer(Answer):
    """A change in the user's repository while the job ran, outside of workers' branches."""

    kind: ChangedKind
    name: str
    """Name of the setting, hook, branch, or path."""
    alteration: RepositoryAlteration
    before: str
    """Previous commit of a ref or push; empty: none."""
    after: str
    worker_id: str
    """Worker that made the change, by git's log; empty: unknown."""
    remote: str
    """Remote of a push."""


class PlanFallbackAnswer(Answer):
    """Fallback of planner auto: the agent made no plan, and therefore the rules made the plan."""

    agent: str
    reason: str


class MissingAnswer(Answer):
    """Changes of a worker that are not in the result, or promised files that do not exist."""

    worker_id: str
    job_id: str
    """The job of the worker: this job, or a descendant."""
    branch: str
    """Branch with the changes; empty: none."""
    cause: LossCause = LossCause.CONFLICT
    """Cause of the loss."""
    why: str
    """The cause as text, for people."""
    in_part: bool
    """True if some changes of the worker are in the result."""
    chosen: bool
    """True if a person excluded the changes."""
    command: str
    """Command that merges the changes. If only a person can merge them, the command shows them. For
    promised files, the command creates them. Empty: no branch has the changes.
    """
    brings_in: bool = True
    """False if the command does not change this job: it only shows changes, or starts another
    job."""
    otherwise: str = ""
    """Command that merges the changes at once, if `command` starts another attempt."""
    resolvable: bool = False
    """True if another attempt of the worker can resolve the conflict."""
    paths: list[str] = Field(default_factory=no_items)
    """For the cause `not_made`: promised files that do not exist; for `undone`: files of the child
    job."""
    child_job_id: str = ""
    """For the cause `undone`: child job whose changes the worker discarded."""


class OutsideAnswer(Answer):
    """Changes of a worker that are not in the result."""

    worker_id: str
    job_id: str
    """The job of the worker: this job, or a descendant."""
    cause: OutsideCause
    why: str
    """The cause as text, for people."""
    branch: str
    """Branch with the changes; empty: none."""
    files: int
    """Number of created or changed files."""
    in_part: bool
    """True if some changes of the worker are in the result."""
    command: str
    """Command that merges the changes. If only a person can merge them, the command shows them.
    Empty: there is no such command.
    """
    show: str = ""
    """Command that shows the changes; empty: no branch has the changes."""
    brings_in: bool = True
    """False if the command only shows the changes."""
    otherwise: str = ""
    """Command that merges the changes at once, if `command` starts another attempt."""


class UnjudgedGateAnswer(Answer):
    """A required gate that did not judge the changed code of a job's result."""

    name: str
    cause: GateCause
    why: str
    """The cause as text."""


class UnjudgedFileAnswer(Answer):
    """A changed source file in a job's result that no gate judged."""

    path: str
    language: str
    cause: UnjudgedCause
    """no_gate: no gate that ran checks its language; not_imported: only tests check its language,
    and no test imported the file."""


class PausedAnswer(Answer):
    """A pause: nothing new starts, and the pause does not count as wall time."""

    at: datetime
    by: str
    """Name of the caller's key, or the limit that was reached."""
    running: RunningMode
    """Running attempts: finish (they continue) or stop (they run again after the pause)."""
    cause: PauseCause
    """person: a person paused the job or an ancestor job. everything: all jobs are paused. limit:
    the job or an ancestor job reached a limit and asks a person (on_limit: ask). """
    limit: str | None = None
    """Name of the limit that was reached; omitted for other causes."""
    until: datetime | None = None
    """Time at which the job is stopped if no person has raised the limit."""
    job_id: str | None = None
    """The job that was paused: this job or an ancestor job; omitted if all jobs are paused."""


class MadeAnswer(Answer):
    """The result of a task on which a question depends."""

    task_id: str
    worker_id: str
    status: WorkerStatus
    output: str
    files_created: list[str]
    commit: str = ""
    """Head of the worker's branch; empty without a branch."""


class QuestionAnswer(Answer):
    """The question of a task that waits for a person, with the person's answer."""

    question: str = ""
    """The question; empty in lists of workers, where the worker's reason contains the question."""
    asked_at: datetime
    due_at: datetime | None = None
    """Time at which on_timeout decides; omitted: never."""
    decision: Decision | None = None
    """The answer; omitted while the question is open."""
    by: str = ""
    """Name of the key that answered; empty: the timeout decided, or the question is open."""
    comment: str = ""
    answered_at: datetime | None = None
    made: list[MadeAnswer] = Field(default_factory=no_items)
    """Results of the task's dependencies; only in the answer about one question."""


class StatusAnswer(Answer):
    """Status and results of a job."""

    job_id: str
    status: JobStatus
    run: int = 1
    """Number of the present run: a retry or feedback begins the next one."""
    reason: str
    paused: PausedAnswer | None = None
    """The job's pause; omitted if the job is not paused."""
    not_judged: str | None = None
    """Explanation if gates did not judge all changed code: the missing gates, or the files; null if
    all is judged."""
    unjudged_gates: list[UnjudgedGateAnswer]
    """Required gates that did not judge the changed code."""
    unjudged_files: list[UnjudgedFileAnswer] = Field(default_factory=no_items)
    """Changed source files that no gate judged, although gates ran."""
    changed_nothing: list[str] = Field(default_factory=no_items)
    """Workers that succeeded without changed files, if the request asks for changes."""
    nothing_built: bool = False
    """True if the request asks for changes, and no AI agent worked on it."""
    plan_fallback: PlanFallbackAnswer | None = None
    """Fallback to the rules instead of an agent; null: no fallback."""
    request: str
    """The first 300 characters of the request."""
    results: Results | None = None
    """Results so far; present after the end of the first worker."""
    workers: dict[str, int]
    """Number of workers by status."""
    merge_state: MergeState
    """Merge state of the workers' changes."""
    missing: list[MissingAnswer]
    """Changes that the result lacks, including changes of child jobs at any depth."""
    not_in_parent: list[str] = Field(default_factory=no_items)
    """Of a child job: files that its parent worker also changed, so that the result was not added
    to the parent worker's files."""
    made_not_in_result: list[OutsideAnswer] = Field(default_factory=no_items)
    """All changes that are not in the result, including changes of failed workers and of candidates
    that were not chosen. Present after the end of the job.
    """
    repository_changes: list[RepositoryChangeAnswer] = Field(default_factory=no_items)
    """Changed git settings, hooks, branches, tags, and pushes; present after the end of the job."""
    counts: dict[str, int]
    """Number of workers by status, including all child jobs."""
    remaining: dict[str, Any]
    """Remaining quota of a worker of this job: depth, child jobs, workers, and seconds."""
    left: dict[str, Any]
    """Alias of remaining."""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """Time at which the reports were written."""
    seconds: float | None = None
    """Wall time in seconds, as in the reports; present after the end of the job."""
    seq: int | None = None
    """Id of the latest event that the status shows, for since_seq; omitted by wait."""
    links: Links


class WaitAnswer(StatusAnswer):
    """Status and results, at the end of the job or at the timeout."""

    timed_out: bool
    """True if the wait timed out before the end of the job."""


class JobSummary(Answer):
    """One job in a list."""

    job_id: str
    status: JobStatus
    run: int = 1
    """Number of the present run: a retry or feedback begins the next one."""
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
    """Seconds from the start until the reports were written."""
    paused: PausedAnswer | None = None
    """The job's pause; omitted if the job is not paused."""
    labels: dict[str, str]
    links: Links


class NeedAnswer(Answer):
    """A need: a decision of a person, for which a job waits."""

    kind: NeedKind
    job_id: str
    root_job_id: str
    worker_id: str | None = None
    task_id: str | None = None
    text: str
    """One line."""
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

    cost_usd: float | None = None
    """Known cost in US dollars; omitted if unknown."""
    tokens: int | None = None
    """Known tokens, counted as for max_tokens; omitted if unknown."""
    cost_partial: bool = False
    """True if a part of the cost is unknown."""


class UsageRowAnswer(Answer):
    """Usage for one key, such as an agent or a day, in one bucket of time."""

    key: str
    """Agent, model, day, root job, or value of the label; empty: none."""
    at: datetime | None = None
    """Start of the bucket; omitted without buckets."""
    jobs: int
    workers: int
    succeeded: int
    """Number of workers that succeeded."""
    tokens_in: int
    """Known input tokens that were not read from a cache."""
    tokens_out: int
    cache_read: int
    """Known tokens read from a provider's cache."""
    cost_usd: float | None = None
    """Known cost; omitted if unknown."""
    estimated: bool
    """True if a part of the cost was computed from a price table."""
    partial: bool
    """True if a part of the cost is unknown."""


class UsageRowsAnswer(Answer):
    """Usage by key and time. The time of an ended worker is its end; the time of a running worker
    is its start.
    """

    rows: list[UsageRowAnswer]


class JobCardAnswer(JobSummary):
    """A job in a list, with its progress."""

    counts: dict[str, int] = Field(default_factory=dict)
    """Number of workers by status; recursive_success counts as success."""
    tree_counts: dict[str, int] = Field(default_factory=dict)
    """Number of workers by status, including all descendants."""
    usage: TreeUsage | None = None
    """Usage of the job and its descendants."""
    needs: list[NeedAnswer] = Field(default_factory=no_items)
    """What the job and its descendants wait for from a person."""


class JobsAnswer(Answer):
    """A page of jobs, newest first."""

    jobs: list[JobCardAnswer]
    total: int
    page: int
    page_size: int


class CancelAnswer(Answer):
    """The job is being stopped, or had already ended."""

    job_id: str
    status: JobStatus
    reason: str
    links: Links


class DecidedAnswer(CancelAnswer):
    """A person's decision was carried out: on a plan, on a task's question, or on a pause."""

    paused: PausedAnswer | None = None
    """The job's pause; omitted if the job is not paused."""


class EventAnswer(Answer):
    """The data of one Server-Sent Event; its id is seq, its event name is kind."""

    seq: int
    kind: EventKind
    at: datetime
    job_id: str
    worker_id: str | None = None
    data: dict[str, Any]


class StatsAnswer(Answer):
    """Counts, rates, and cost."""

    model_config = ConfigDict(extra="allow", frozen=True)

    jobs: dict[str, int] = {}
    workers: dict[str, int] = {}
    #: Number of ends in the last minute.
    per_minute: dict[str, int] = {}
    #: Number of gate results since the server's start, by outcome.
    gates: dict[str, int] = {}
    #: Known cost of all workers and planners. None: no cost is known.
    cost_usd: float | None = None
    #: True if a part of the cost was computed from a price table.
    cost_estimated: bool = False
    #: True if the cost of some workers is unknown or incomplete.
    cost_partial: bool = False


class AgentAnswer(Answer):
    """An agent and its availability."""

    name: str
    description: str
    usable: bool
    """True if tasks can name the agent: it can work on the server's machine or on a node."""
    nodes: list[str]
    """Nodes of the cluster on which the agent can work.

    The next fields are about the server's machine.
    """
    installed: bool
    path: str | None = None
    """Path of the agent's program."""
    version: str | None = None
    """Version, if known without running the program."""
    authenticated: bool
    """True if a credential was found, or none is needed."""
    login: Literal["yes", "no", "unknown"]
    """Result of the login in workers of the last ten minutes."""
    login_refused: str | None = None
    """Reason why the login failed."""
    credential: str | None = None
    """Variable or file of the credential."""
    mend: list[str]
    """Commands that make the agent usable."""
    inherit: list[str]
    """Parts of the user's configuration that workers inherit: mcp, skills, hooks, or memory."""


class AgentsAnswer(Answer):
    """Agents that tasks can name; AI agents first, the best first."""

    agents: list[AgentAnswer]


class HealthAnswer(Answer):
    """Health of the server: alive (the server answers) and ready (the server can run jobs)."""

    status: str = Field(pattern="^(ok|unavailable)$")
    ready: bool
    checks: dict[str, str]
    paused: str = ""
    """Reason why no worker starts now; empty if workers start."""
    usable_agents: int = 0
    """Number of AI agents that are installed and have a login."""
    known_agents: int = 0
    containment: str
    version: str
