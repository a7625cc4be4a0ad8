"""Jobs, tasks, workers, and attempts: the frozen values that all packages share.

Times are Unix times; durations are seconds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from orchestrator.core.gates.gate import NO_GATES, Gate, GateCounts, GateResult, gate_counts
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.agent_session import Session
from orchestrator.core.model.attempt.attempt_result import NO_USAGE, Exit, Usage
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.failure import Failure
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.human_input.question import PERSON, Question
from orchestrator.core.model.job_facts import NO_FACTS, JobFacts
from orchestrator.core.model.job_settings import GitUse, JobConfig, Workdir
from orchestrator.core.model.states import (
    JobStatus,
    MergeState,
    StopCause,
    WaitKind,
    WorkerKind,
    WorkerStatus,
)
from orchestrator.core.model.worker_result import CandidateRank, WorkerResult
from orchestrator.core.text.formatting import cut, one_line

#: Value of ``cancelled_by`` and ``stopped_by`` if a job was stopped because its wall time expired.
WALL_TIME = "max_wall_seconds"
#: The built-in agent that runs commands.
SHELL = "shell"
#: The built-in agent that maps the project and builds nothing.
SURVEY = "survey"
#: Agents that call no model, so that they have no tokens and no cost.
NO_MODEL = frozenset({SHELL, SURVEY, PERSON})
_UNREPORTED = Usage(partial=True)
#: Maximum number of characters of a task's heading.
HEADING_CHARACTERS = 80


class WorkerKey(NamedTuple):
    """Key of a worker. The worker's name is unique among all workers of one root job."""

    root_id: str
    worker_id: str

    def attempt_id(self, number: int) -> str:
        """Return the id of one of the worker's attempts. ``number``: the attempt's number."""
        return f"{self.root_id}/{self.worker_id}/{number}"


#: Creates a key from its two parts. Faster than a call of the class: each worker's key is created
#: about twenty times.
_key: Callable[[tuple[str, str]], WorkerKey] = partial(tuple.__new__, WorkerKey)


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateSettings:
    """Settings of one candidate, which replace or extend the task's settings."""

    #: None: the task's model.
    model: str | None = None
    #: Seconds; None: the task's timeout.
    timeout: float | None = None
    #: Text in addition to the task's context.
    context: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """One task of a job, as requested."""

    id: str
    title: str = ""
    prompt: str = ""
    command: str | tuple[str, ...] | None = None
    #: A question that a person answers, in place of prompt and command; empty: an agent does the
    #: task.
    approve: str = ""
    #: What the timeout of a question decides: approve or reject; empty: reject.
    on_timeout: str = ""
    #: Names of agents; with several names, each agent's worker is a candidate for the task.
    agents: tuple[str, ...] = ()
    #: One entry for each of ``agents``, in their order; empty if no candidate has its own settings.
    candidate_settings: tuple[CandidateSettings, ...] = ()
    depends_on: tuple[str, ...] = ()
    timeout: float | None = None
    retries: int | None = None
    role: str | None = None
    model: str | None = None
    #: Paths that matter for the task.
    files: tuple[str, ...] = ()
    #: Paths that the task promises to write, relative to the project.
    writes: tuple[str, ...] = ()
    context: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    #: Whether the task's worker gets a worktree (a value of GitUse). None: the job's setting
    #: applies.
    git: str | None = None
    #: Where the task's worker starts (Workdir): own or project.
    workdir: str = "own"
    #: Gates in addition to the job's gates.
    gates: tuple[Gate, ...] = ()
    #: Paths or names that no other worker may hold at the same time.
    locks: tuple[str, ...] = ()
    #: The agent that compares candidates; empty: no review.
    review: str = ""
    #: Labels that the machine of the task's worker must have (core.model.machines).
    requires: Mapping[str, str] = field(default_factory=dict)
    #: Name of the machine of the task's worker, or ``here``; empty: any machine.
    node: str = ""
    #: True if the request asks for a review, but names no agent for it. If the login of the agent
    #: in ``review`` fails, another agent reviews.
    review_by_any: bool = False

    @property
    def works_in_project(self) -> bool:
        """True if the task's worker starts in the user's checkout."""
        return self.workdir == Workdir.PROJECT

    def needs_worktree(self, git: str) -> bool:
        """True if the task requires a worktree for its worker (``git: on``).

        ``git``: the setting of the task's job, which applies if the task does not set ``git``.
        """
        if self.works_in_project or git == GitUse.OFF or self.approve:
            return False
        return (self.git or git) == GitUse.ON

    @property
    def words(self) -> str:
        return f"{self.title}\n{self.prompt}"

    @property
    def heading(self) -> str:
        """The task's title. Without a title: the beginning of the prompt, command, or question."""
        command = " ".join(self.command) if isinstance(self.command, tuple) else self.command
        text = self.title or self.prompt or command or self.approve
        # Use only the beginning, because a prompt may be long.
        return cut(one_line(text[: 4 * HEADING_CHARACTERS]), HEADING_CHARACTERS)

    def of_candidate(self, place: int) -> "TaskSpec":
        """Return the task with the settings of one candidate.

        ``place``: index in ``agents``, from 0.
        """
        if not self.candidate_settings:
            return self
        settings = self.candidate_settings[place]
        return replace(
            self,
            model=settings.model or self.model,
            timeout=self.timeout if settings.timeout is None else settings.timeout,
            context="\n\n".join(each for each in (self.context, settings.context) if each),
        )

    def with_timeouts(self, change: Callable[[float], float]) -> "TaskSpec":
        """Return the task, with ``change`` applied to the timeouts of task and candidates."""
        settings = tuple(
            each if each.timeout is None else replace(each, timeout=change(each.timeout))
            for each in self.candidate_settings
        )
        timeout = None if self.timeout is None else change(self.timeout)
        return replace(self, timeout=timeout, candidate_settings=settings)

    def with_settings_of_retry(self, config: JobConfig) -> "TaskSpec":
        """Return the task with the timeout and the retries that a retry of the job has set.

        ``config``: the job's settings. A question keeps its timeout, because the timeout of a
        question is not the timeout of an attempt.
        """
        task = self
        if config.timeout_replaced and not (task.timeout is None or task.approve):
            task = replace(task, timeout=config.default_timeout)
        if config.retries_replaced and task.retries is not None:
            task = replace(task, retries=config.max_retries)
        return task


#: The index of a planner, which sorts it before its job's workers. Reviewers have lower indexes.
PLANNER_INDEX = -1
#: Value of ``planner``, and of ``plan_source``, if rules split the job's request without an agent.
RULES = "rules"
#: The ``plan_source`` of a job for which no plan was possible.
NO_PLAN = "none"
#: The task id and the role of a planner.
PLANNER = "planner"
#: The role of a reviewer.
REVIEWER = "reviewer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """The address that gets messages about one job.

    The address is secret, because it may contain a token.
    """

    url: str = field(repr=False)
    #: Topics of the messages (see ``core.ports.outbox.Topic``).
    events: tuple[str, ...] = ("job_ended",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request, with its settings and status."""

    id: str
    root_id: str
    depth: int
    request: str
    config: JobConfig
    status: JobStatus = JobStatus.PENDING
    reason: str = ""
    #: The worker that started the job; None for a root job.
    parent_worker_id: str | None = None
    parent_job_id: str | None = None
    #: Fingerprint of request and tasks, which is equal for a repeated request.
    digest: str = ""
    #: Name of the API key or worker that submitted the job.
    submitted_by: str = ""
    idempotency_key: str | None = None
    #: Source of the plan: "given", "rules", "none", or the name of the agent that plans.
    plan_source: str = "given"
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    #: The caller or the limit that stopped the job, for people.
    cancelled_by: str | None = None
    #: Why the job was stopped; None: it was not stopped.
    stop_cause: StopCause | None = None
    merge_state: MergeState = MergeState.NONE
    #: True if the job has a plan that waits for approval.
    awaits_approval: bool = False
    #: Number of the run, from 1. A retry or feedback begins the next run of an ended job.
    run: int = 1
    #: Version of the plan, from 1. People may edit a plan that waits for approval.
    plan_version: int = 1
    #: The job's present pause, during which nothing new starts; None: the job is not paused.
    pause: Pause | None = None
    #: Seconds since the start that the wall time does not include: former pauses, and time in which
    #: the job only waited for a person.
    paused_seconds: float = 0.0
    facts: JobFacts = NO_FACTS
    #: The address that gets messages about the job and its descendants. Only root jobs have one.
    callback: Callback | None = None

    @property
    def is_root(self) -> bool:
        return self.parent_worker_id is None

    @property
    def merge_failed(self) -> bool:
        return self.merge_state is MergeState.FAILED

    @property
    def lacks_changes(self) -> bool:
        """True if the result lacks changes or promised files.

        Changes and promised files of descendants count, too. Changes that a person excluded do not
        count.
        """
        has_missing = any(not each.chosen for each in self.facts.missing)
        return self.merge_failed or has_missing or bool(self.facts.lost_below)

    @property
    def fails_unjudged(self) -> bool:
        """True if the job fails because no gate judged code that the job changed."""
        facts = self.facts
        in_part = facts.unjudged_gates or facts.unjudged_files or facts.unjudged_work
        is_unjudged = facts.unjudged or bool(in_part)
        return is_unjudged and self.config.unjudged == "fail"

    @property
    def cancelled(self) -> bool:
        """True if the job was stopped by request, not by a limit."""
        return self.stop_cause in (StopCause.USER, StopCause.WITHDRAWN, StopCause.PARENT)

    @property
    def wall_end(self) -> float:
        """Time at which the wall time expires, unless a pause of the job extends it.

        A retry of the job starts the wall time again.
        """
        start = self.started_at or self.created_at
        return start + self.paused_seconds + self.config.max_wall_seconds

    def remaining_wall_seconds(self, now: float) -> float:
        """Return the remaining wall time in seconds. The time does not decrease during a pause."""
        return self.wall_end - (self.pause.at if self.pause else now)

    @property
    def parent_key(self) -> WorkerKey | None:
        return WorkerKey(self.root_id, self.parent_worker_id) if self.parent_worker_id else None


class _InTree(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def parent_job_id(self) -> str | None: ...


_Any = TypeVar("_Any", bound=_InTree)


def with_descendants(job_id: str, jobs: Iterable[_Any]) -> list[_Any]:
    """Return a job and its descendants. Each parent job comes before its child jobs."""
    children: dict[str | None, list[_Any]] = {}
    tree: list[_Any] = []
    for job in jobs:
        (tree if job.id == job_id else children.setdefault(job.parent_job_id, [])).append(job)
    for job in tree:
        tree += children.get(job.id, ())
    return tree


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """What a worker waits for. The worker's ``reason`` describes the wait as text."""

    kind: WaitKind
    #: Name of the agent, worker, or locks that the worker waits for; empty for other kinds.
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One agent's work on a task.

    Each attempt has a process; the worker has a directory and a log.
    """

    id: str
    job_id: str
    root_id: str
    task_id: str
    #: Place in the order of the job's workers: task order, then candidate order.
    index: int
    kind: WorkerKind = WorkerKind.TASK
    depth: int
    agent: str
    status: WorkerStatus = WorkerStatus.PENDING
    reason: str = ""
    #: What the worker waits for; None if it runs, has ended, or could start. Code that sets
    #: ``reason`` sets this field, too.
    waiting_for: WaitingFor | None = None
    #: Number of the current or latest attempt; 0 before the first attempt.
    attempt: int = 0
    #: Number of the attempt after which retries are counted. The number changes when a person
    #: retries the worker, and with each attempt that does not count as a retry.
    budget_from: int = 0
    #: Fingerprint of the latest failure, to detect that the same failure is repeated.
    failure: str = ""
    #: Time before which the worker must not start.
    not_before: float = 0.0
    #: The caller that cancelled only this worker, for people; None: no caller cancelled it.
    cancelled_by: str | None = None
    child_job_ids: tuple[str, ...] = ()
    #: Number of workers in the worker's child jobs. The names of the workers of its next child job
    #: continue from this number.
    child_workers: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    result: WorkerResult | None = None
    #: The question of a task that waits for a person; None: no question was asked.
    question: Question | None = None

    @property
    def key(self) -> WorkerKey:
        return _key((self.root_id, self.id))

    @property
    def attempt_id(self) -> str:
        return self.key.attempt_id(self.attempt)

    @property
    def usage(self) -> Usage:
        return self.result.usage if self.result else NO_USAGE

    @property
    def lower_bound_of_usage(self) -> Usage:
        """The known usage. It is marked as partial if a started agent with a model reported none.

        Sums of usage then show that the real usage is higher.
        """
        usage = self.usage
        is_unreported = usage == NO_USAGE and self.attempt > 0 and self.agent not in NO_MODEL
        return _UNREPORTED if is_unreported else usage

    @property
    def cost_usd(self) -> float | None:
        """Known cost in US dollars; None if unknown."""
        return self.usage.cost_usd

    @property
    def model(self) -> str | None:
        """The model that the latest attempt used; None if unknown, or if no model was used."""
        return (self.result.model or None) if self.result else None

    @property
    def gate_counts(self) -> GateCounts:
        return gate_counts(self.gates) if self.gates else NO_GATES

    @property
    def gates(self) -> tuple[GateResult, ...]:
        return self.result.gates if self.result else ()

    @property
    def failures(self) -> tuple[Failure, ...]:
        return self.result.failures if self.result else ()

    def failure_of(self, attempt: int) -> Failure | None:
        return next((each for each in reversed(self.failures) if each.attempt == attempt), None)

    @property
    def delivery(self) -> DeliveredWork | None:
        return self.result.delivery if self.result else None

    @property
    def standing(self) -> CandidateRank | None:
        return self.result.standing if self.result else None

    @property
    def file_count(self) -> int:
        return len(self.result.files_created) if self.result else 0

    @property
    def files_removed(self) -> tuple[str, ...]:
        return self.delivery.removed if self.delivery else ()

    @property
    def touched_files(self) -> tuple[str, ...]:
        """The files that the worker created, changed, or removed."""
        return (*self.result.files_created, *self.files_removed) if self.result else ()

    @property
    def is_planner(self) -> bool:
        return self.kind is WorkerKind.PLANNER

    @property
    def is_question(self) -> bool:
        """True if the task is a question: a person answers it, and no process runs."""
        return self.agent == PERSON

    @property
    def is_reviewer(self) -> bool:
        return self.kind is WorkerKind.REVIEWER

    @property
    def chosen(self) -> bool | None:
        """True if the worker is its task's chosen candidate.

        None before the choice, or if the task has only one worker.
        """
        return self.standing.place == 1 if self.standing else None

    @property
    def belongs_to_result(self) -> bool:
        """True if the worker's changes belong to the job's result by default.

        False for a worker that did not succeed, and for a candidate that was not chosen.
        """
        return self.status.succeeded and self.chosen is not False

    @property
    def is_adviser(self) -> bool:
        """True for a planner or reviewer, which runs no task."""
        return self.kind is not WorkerKind.TASK


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One run of a worker's process. The attempt is stored before its process starts."""

    root_id: str
    worker_id: str
    number: int
    job_id: str
    started_at: float
    #: SHA-256 of the API key that only this attempt may use.
    token_hash: str = ""
    #: SHA-256 of the secret that the exit record must contain; empty for attempts of earlier
    #: releases.
    record_hash: str = ""
    ended_at: float | None = None
    exit: Exit | None = None
    reason: str = ""
    #: The tool's session with the model; None if there is no session, or if it is unknown.
    session: Session | None = None
    #: The node of a cluster that runs the attempt; empty: the machine of the server.
    node: str = ""

    @property
    def key(self) -> WorkerKey:
        return _key((self.root_id, self.worker_id))

    @property
    def id(self) -> str:
        return self.key.attempt_id(self.number)


def wall_seconds(job: Job, workers: Sequence[Worker]) -> float | None:
    """Return the seconds from a job's start to the latest end of one of its workers.

    ``workers``: the job's workers and the reviewers of its candidates.

    Return None if the job's status is not final, and 0 if the job never started. If no worker has
    an end, as after a failed planning, use the job's ``ended_at``. Otherwise ``ended_at`` is not
    used, because the reports show the result before ``ended_at`` is set.
    """
    if not job.status.ended:
        return None
    start = job.created_at if job.started_at is None else job.started_at
    job_end = start if job.started_at is None or job.ended_at is None else job.ended_at
    ends = (worker.ended_at for worker in workers if worker.ended_at is not None)
    return round(max(0.0, max(ends, default=job_end) - start), 6)


#: Maximum number of attempts of a planner. After a rejected plan, the next attempt gets the reason.
TRIES_TO_PLAN = 2


def new_planner(job: Job, agent: str, name: str) -> Worker:
    return Worker(
        id=name,
        job_id=job.id,
        root_id=job.root_id,
        task_id=PLANNER,
        index=PLANNER_INDEX,
        kind=WorkerKind.PLANNER,
        depth=job.depth,
        agent=agent,
    )


def planning_task(planner: Worker) -> TaskSpec:
    retries = TRIES_TO_PLAN - 1
    return TaskSpec(
        id=PLANNER, title="Plan", role=PLANNER, agents=(planner.agent,), retries=retries
    )
