"""Answers to callers. Fields may be added; none of these may change."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.events import EventKind
from orchestrator.core.model.gate import GateCause
from orchestrator.core.model.job_facts import LossCause, UnjudgedCause
from orchestrator.core.model.repository_changes import ChangedKind, RepositoryAlteration
from orchestrator.core.model.states import JobStatus, MergeState, WorkerStatus
from orchestrator.core.outcome.job.whereabouts import OutsideCause


class Answer(BaseModel):
    """An answer's shape. Fields without a value are left out."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    def as_json(self) -> dict[str, Any]:
        """The JSON object that is answered."""
        return self.model_dump(mode="json", exclude_none=True)


Links = dict[str, str]


class AcceptedAnswer(Answer):
    """The job is stored and will be carried out."""

    job_id: str
    status: JobStatus
    links: Links
    duplicate: bool = False
    """The job existed already: the same question, or the same Idempotency-Key."""
    left: dict[str, Any] = {}
    """What a worker of this job may still start: depth, child jobs, workers, seconds."""
    caller_left: dict[str, Any] = {}
    """The same for the worker that submitted it."""
    limits_notice: str | None = None
    """The settings under workers.limits that are not held exactly on this machine."""


class UsedAnswer(Answer):
    """What follows from what a worker has used."""

    stop: str
    """Why the worker must end now; empty when it may go on."""
    waiting: bool
    """Its child jobs are at work, or it waits for a lock: no wonder that it is silent."""
    capped: bool
    """A limit on steps, tokens, or cost applies to it: each step is to be reported at once."""


class SessionAnswer(Answer):
    """The conversation of an agent's tool with its model."""

    id: str
    attempt: int
    """The attempt that had it last."""
    resumed: bool
    """That attempt resumed it; false: that attempt began it."""


class TaskResult(Answer):
    """What one worker came back with."""

    worker_id: str
    task_id: str
    status: WorkerStatus
    output: str
    files_created: list[str]
    agent: str
    reason: str
    """Why it has this status, in words."""
    unchanged: bool | None = None
    """Whether it changed no file of its worktree; left out for a worker without one."""
    missing: list[str] = Field(default_factory=list)
    """Promised files that do not exist."""
    saved: list[str] = Field(default_factory=list)
    """Promised files that git ignores: they are in files/ of the worker's directory."""
    outside: list[str] = Field(default_factory=list)
    """Files outside of its worktree that the agent changed."""
    chosen: bool | None = None
    """Whether it is the best of its task's candidates; left out where it is the only one."""
    attempts: int
    session: SessionAnswer | None = None
    """The latest one; left out for an agent without sessions."""
    seconds: float | None = None
    """From its first start to its end."""
    exit_code: int | None = None
    workspace: str
    """The worker's directory."""
    log: str | None = None
    """Left out for a worker that never ran."""
    child_job_id: str | None = None
    """The last of its child jobs."""
    child_job_ids: list[str]
    child_results: list["TaskResult"]
    """The results.tasks of the job that child_job_id names."""


class Results(Answer):
    """What the job has brought so far; complete once the job has ended."""

    tasks: list[TaskResult]
    """One for each worker, in order of their numbers."""
    workspace: str
    final_report: str
    changes: list[str] = Field(default_factory=list)
    """What became of the workers' changes to the project's repository, once the job has ended."""


class RepositoryChangeAnswer(Answer):
    """What changed in the user's repository while the job ran, outside of the workers' branches."""

    kind: ChangedKind
    name: str
    """The setting, the hook, the branch, or the path."""
    alteration: RepositoryAlteration
    before: str
    """Of refs and pushes: the commit; empty: none."""
    after: str
    worker_id: str
    """The worker that did it, by git's log; empty: not known."""
    remote: str
    """Of a push."""


class PlanFallbackAnswer(Answer):
    """An agent was asked for the plan and made none, and the rules made it (planner: auto)."""

    agent: str
    reason: str


class MissingAnswer(Answer):
    """Changes of one worker that are not in the result, or files that one worker promised."""

    worker_id: str
    job_id: str
    """The job of that worker: this one, or one below it."""
    branch: str
    """The branch that has the changes; empty: none has."""
    cause: LossCause = LossCause.CONFLICT
    """Why the result lacks them."""
    why: str
    """The cause for people."""
    in_part: bool
    """Some changes of the worker are in the result."""
    chosen: bool
    """A person chose to leave them out."""
    command: str
    """What brings them in, or shows them if only a person can; empty: no branch has them. For
    promised files: what has them created."""
    brings_in: bool = True
    """False if the command leaves this job as it is."""
    otherwise: str = ""
    """What brings them in at once, if the command asks for another attempt."""
    resolvable: bool = False
    """The worker can be asked for another attempt."""
    paths: list[str] = Field(default_factory=list)
    """The promised files that nobody created, for the cause `not_made`; files of the child job, for
    `undone`."""
    child_job_id: str = ""
    """The child job whose changes the worker discarded, for `undone`."""


class OutsideAnswer(Answer):
    """Changes that one worker made, and that are not in the result."""

    worker_id: str
    job_id: str
    """The job of that worker: this one, or one below it."""
    cause: OutsideCause
    why: str
    """The cause for people."""
    branch: str
    """The branch that has the changes; empty: none has."""
    files: int
    """How many files it made or changed."""
    in_part: bool
    """Some changes of the worker are in the result."""
    command: str
    """What brings them in, or shows them if only a person can; empty: no branch has them."""
    show: str = ""
    """What shows them; empty: no branch has them."""
    brings_in: bool = True
    """False if the command only shows them."""
    otherwise: str = ""
    """What brings them in at once, where the command asks for another attempt."""


class UnjudgedGateAnswer(Answer):
    """A required gate that did not judge the code that a job's result changes."""

    name: str
    cause: GateCause
    why: str
    """The cause in words."""


class UnjudgedFileAnswer(Answer):
    """A source that a job's result changes, and that none of the gates judged that have run."""

    path: str
    language: str
    cause: UnjudgedCause
    """no_gate: no gate that ran looks at its language; not_imported: only tests judge its language,
    and no test imported it."""


class StatusAnswer(Answer):
    """The short form of a job."""

    job_id: str
    status: JobStatus
    reason: str
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
    plan_fallback: PlanFallbackAnswer | None = None
    """Why the rules made the plan in place of an agent; null where they did not."""
    request: str
    """The first 300 characters."""
    results: Results | None = None
    """There from the first finished worker on."""
    workers: dict[str, int]
    """How many workers are in which state."""
    merge_state: MergeState
    """How far the changes of its workers are one result."""
    missing: list[MissingAnswer]
    """What the result lacks, with what the results of child jobs lack at any depth."""
    not_in_parent: list[str] = Field(default_factory=list)
    """Of a child job: files that the worker which waits for it changed as well, so that nothing of
    the result is in that worker's files."""
    made_not_in_result: list[OutsideAnswer] = Field(default_factory=list)
    """Everything that was made and is not in the result, with losing candidates and failed workers;
    once the job has ended."""
    repository_changes: list[RepositoryChangeAnswer] = Field(default_factory=list)
    """Settings, hooks, branches, tags and pushes that are in no result; once the job has ended."""
    counts: dict[str, int]
    """The same, with the workers of all child jobs below it."""
    left: dict[str, Any]
    """What a worker of this job may still start: depth, child jobs, workers, seconds."""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """When its reports were written."""
    seconds: float | None = None
    """From its start to the end of its last worker, as its reports say; once it has ended."""
    links: Links


class WaitAnswer(StatusAnswer):
    """The short form, when the job has ended or the time was over."""

    timed_out: bool
    """The time was over before the job had ended."""


class JobSummary(Answer):
    """One job in a list."""

    job_id: str
    status: JobStatus
    reason: str
    request: str
    """The first 300 characters."""
    depth: int
    root_job_id: str
    parent_job_id: str | None = None
    parent_worker_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    """From its start until its reports were written."""
    labels: dict[str, str]
    links: Links


class JobsAnswer(Answer):
    """A page of jobs, newest first."""

    jobs: list[JobSummary]
    total: int
    page: int
    page_size: int


class CancelAnswer(Answer):
    """The job is being stopped, or had ended already."""

    job_id: str
    status: JobStatus
    reason: str
    links: Links


class DecidedAnswer(CancelAnswer):
    """The plan was approved, and its tasks start, or it was rejected, and the job ends."""


class EventAnswer(Answer):
    """The data of one Server-Sent Event; its id is seq, its event name is kind."""

    seq: int
    kind: EventKind
    at: datetime
    job_id: str
    worker_id: str | None = None
    data: dict[str, Any]


class StatsAnswer(Answer):
    """Counts, rates and cost."""

    model_config = ConfigDict(extra="allow", frozen=True)

    jobs: dict[str, int] = {}
    workers: dict[str, int] = {}
    #: Ends in the last minute.
    per_minute: dict[str, int] = {}
    #: Of workers' results, by outcome, since the server began.
    gates: dict[str, int] = {}
    #: Of all workers and planners, as far as it is known. None: of none of them.
    cost_usd: float | None = None
    #: A part of it was computed from a price table.
    cost_estimated: bool = False
    #: What some of them cost is not known, or not the whole of it.
    cost_partial: bool = False


class AgentAnswer(Answer):
    """An agent, and whether it can work here."""

    name: str
    description: str
    usable: bool
    """A task may name it."""
    installed: bool
    path: str | None = None
    """Where its program is."""
    version: str | None = None
    """As far as it can be told without running it."""
    authenticated: bool
    """A credential was found, or none is needed."""
    login: Literal["yes", "no", "unknown"]
    """Whether it is taken, as far as workers have shown in the last ten minutes."""
    login_refused: str | None = None
    """Why it is not."""
    credential: str | None = None
    """The variable or the file that it was found in."""
    mend: list[str]
    """Commands that make it usable."""
    inherit: list[str]
    """What of its user's own configuration reaches its workers: mcp, skills, hooks, memory."""


class AgentsAnswer(Answer):
    """The agents that a task can name: the AI agents first, best first."""

    agents: list[AgentAnswer]


class HealthAnswer(Answer):
    """Whether the server is alive (it answers) and ready (it can do its work)."""

    status: str = Field(pattern="^(ok|unavailable)$")
    ready: bool
    checks: dict[str, str]
    paused: str = ""
    """Why no worker starts now; empty when workers start."""
    usable_agents: int = 0
    """AI agents that are installed and have a login; without one nothing can be built."""
    known_agents: int = 0
    containment: str
    version: str
