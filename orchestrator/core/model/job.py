"""Jobs, tasks, workers and attempts: the frozen values that all packages share.

Times are seconds since the epoch, UTC; durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.session import Session
from orchestrator.core.model.gate import Gate
from orchestrator.core.model.job_facts import NO_FACTS, JobFacts
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import (
    JobStatus,
    MergeState,
    StopCause,
    WaitKind,
    WorkerKind,
    WorkerStatus,
)
from orchestrator.core.model.worker_result import WorkerResult

#: How a stop is signed that comes from the limit on wall time.
WALL_TIME = "max_wall_seconds"
#: In place of an agent's name: the best that can work. A planner's: the job's agent.
AUTO = "auto"
#: The built-in agent that maps the project and builds nothing.
SURVEY = "survey"


class WorkerKey(NamedTuple):
    """A worker's name is unique among all workers of one root job."""

    root_id: str
    worker_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """One node of a job's dependency graph, as requested."""

    id: str
    title: str = ""
    prompt: str = ""
    command: str | tuple[str, ...] | None = None
    #: One name, or several candidates that try the same task.
    agents: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    timeout: float | None = None
    retries: int | None = None
    role: str | None = None
    model: str | None = None
    #: Paths that matter.
    files: tuple[str, ...] = ()
    #: Paths that it promises to write, relative to the project.
    writes: tuple[str, ...] = ()
    context: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    #: If its worker gets a worktree (core.repository.GitUse); None: by its job.
    git: str | None = None
    #: Where its worker starts (core.repository.Workdir): own or project.
    workdir: str = "own"
    #: In addition to the job's gates.
    gates: tuple[Gate, ...] = ()
    #: Paths or names that no other worker may hold at the same time.
    locks: tuple[str, ...] = ()
    #: The agent that compares candidates; empty: none.
    review: str = ""
    #: The request does not name that agent: if its login fails, another one compares them.
    review_by_any: bool = False

    @property
    def words(self) -> str:
        """The text of the task's request."""
        return f"{self.title}\n{self.prompt}"


#: The index of a planner, which sorts it before its job's workers. Reviewers have lower ones.
PLANNER_INDEX = -1
#: The planner, and the ``plan_source``, of a job whose request is split without an agent.
RULES = "rules"
#: The ``plan_source`` of a job for which no plan was possible.
NO_PLAN = "none"
#: The task of a planner, and the role that it plays.
PLANNER = "planner"
#: The role of a reviewer.
REVIEWER = "reviewer"


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
    #: "given", "rules", or the agent that makes or has made the tasks.
    plan_source: str = "given"
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    #: The caller or the limit that stopped it, for people.
    cancelled_by: str | None = None
    #: None: it was not stopped.
    stop_cause: StopCause | None = None
    merge_state: MergeState = MergeState.NONE
    #: It has its tasks, and a person must approve their start.
    awaits_approval: bool = False
    facts: JobFacts = NO_FACTS

    @property
    def is_root(self) -> bool:
        return self.parent_worker_id is None

    @property
    def unmerged(self) -> bool:
        """True if its workers' changes were to be merged, and were not."""
        return self.merge_state is MergeState.FAILED

    @property
    def lacks_changes(self) -> bool:
        """True if the result lacks something that a worker here or below made or promised, and that
        no person chose to exclude."""
        own = any(not each.chosen for each in self.facts.missing)
        return self.unmerged or own or bool(self.facts.lost_below)

    @property
    def fails_unjudged(self) -> bool:
        """True if the job requires gates, and they have not judged the code that it changed."""
        facts = self.facts
        in_part = facts.unjudged_gates or facts.unjudged_files or facts.unjudged_work
        is_unjudged = facts.unjudged or bool(in_part)
        return is_unjudged and self.config.unjudged == "fail"

    @property
    def out_of_time(self) -> bool:
        """True if its wall time, or its root's, expired."""
        return self.stop_cause is StopCause.WALL_TIME

    @property
    def over_budget(self) -> bool:
        """True if a limit on agents' usage was reached, in this job or above."""
        return self.stop_cause is StopCause.LIMIT

    @property
    def cancelled(self) -> bool:
        """True if it was stopped by request, not by a limit."""
        return self.stop_cause in (StopCause.USER, StopCause.WITHDRAWN, StopCause.PARENT)

    @property
    def wall_end(self) -> float:
        """When its wall time ends; counted again from a retry."""
        return (self.started_at or self.created_at) + self.config.max_wall_seconds

    @property
    def parent_key(self) -> WorkerKey | None:
        return WorkerKey(self.root_id, self.parent_worker_id) if self.parent_worker_id else None


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """What a worker waits for, in addition to the sentence in its reason."""

    kind: WaitKind
    #: The name, such as of the agent or the worker, if the kind has one.
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One process (with its directory and log) that runs a task for one agent."""

    id: str
    job_id: str
    root_id: str
    task_id: str
    #: Its place in the order of the job's workers: task order, then candidate order.
    index: int
    kind: WorkerKind = WorkerKind.TASK
    depth: int
    agent: str
    status: WorkerStatus = WorkerStatus.PENDING
    reason: str = ""
    #: None: it runs, has ended, or could start. Code that sets a reason sets it, too.
    waiting_for: WaitingFor | None = None
    #: Number of the current or latest attempt; 0 before the first.
    attempt: int = 0
    #: The number of the attempt at which the present retry budget began.
    budget_from: int = 0
    #: Fingerprint of the latest failure, to detect the same one twice.
    failure: str = ""
    #: Not to be started before this time.
    not_before: float = 0.0
    child_job_ids: tuple[str, ...] = ()
    #: How many workers were started on its behalf: the next one has the next number.
    child_workers: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    result: WorkerResult | None = None

    @property
    def key(self) -> WorkerKey:
        return WorkerKey(self.root_id, self.id)

    @property
    def cost_usd(self) -> float | None:
        """Cost in USD, as far as known."""
        return self.result.usage.cost_usd if self.result else None

    @property
    def cost_marks(self) -> int:
        """See ``Usage.cost_marks``."""
        return self.result.usage.cost_marks if self.result else 0

    @property
    def is_planner(self) -> bool:
        """True if it creates the job's tasks, and runs none of them."""
        return self.kind is WorkerKind.PLANNER

    @property
    def is_reviewer(self) -> bool:
        """True if it compares the candidates of a task."""
        return self.kind is WorkerKind.REVIEWER

    @property
    def chosen(self) -> bool | None:
        """True if it is the best of its task's candidates; None before the selection, or if it is
        the only one."""
        standing = self.result.standing if self.result else None
        return standing.place == 1 if standing else None

    @property
    def counts(self) -> bool:
        """True if its changes belong to the result without a person's decision."""
        return self.status.succeeded and self.chosen is not False

    @property
    def is_adviser(self) -> bool:
        """True if it plans or reviews: it answers a question, and runs no task."""
        return self.kind is not WorkerKind.TASK


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
    #: SHA-256 of the secret that its exit record must have; empty for an earlier release's.
    record_hash: str = ""
    ended_at: float | None = None
    exit: Exit | None = None
    reason: str = ""
    #: The tool's session with the model; None without one, or while unknown.
    session: Session | None = None

    @property
    def key(self) -> WorkerKey:
        return WorkerKey(self.root_id, self.worker_id)
