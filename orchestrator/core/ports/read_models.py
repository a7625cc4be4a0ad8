"""Results of the engine's queries, in addition to the values of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from orchestrator.core.limits.estimate import Estimate
from orchestrator.core.model.decisions.question import Question
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.outcome.agent_logins import LoginsSeen
from orchestrator.core.outcome.job.needs import WorkerAction

Login = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """One job with its own tasks and workers. Workers are in order of index."""

    job: Job
    tasks: Sequence[TaskSpec]
    workers: Sequence[Worker]
    #: The planner of the tasks; only if the tasks are requested.
    planner: Worker | None = None
    #: The reviewers of candidates; only if the tasks are requested.
    reviewers: Sequence[Worker] = ()
    #: Estimated usage of the tasks; only while they wait for approval.
    estimate: Estimate | None = None
    #: Remaining quota of a worker of the job: depth, child_jobs, workers, wall_seconds, ...
    left: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """The result of a task that a question depends on."""

    task_id: str
    worker: Worker


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedQuestion:
    """A question, with the facts that a person reads before the answer."""

    text: str
    question: Question
    #: The results of the task's dependencies.
    made: Sequence[Made]


@dataclass(frozen=True, kw_only=True, slots=True)
class OneWorker:
    """One worker with its job, task, and attempts."""

    job: Job
    worker: Worker
    #: None for a planner or reviewer.
    task: TaskSpec | None
    attempts: Sequence[Attempt]
    #: What the caller may do with the worker in its present state.
    can: Sequence[WorkerAction]


class StepKind(StrEnum):
    #: Text of the model.
    SAID = "said"
    #: A call of a tool.
    TOOL = "tool"
    #: An error that the agent's program retries.
    TROUBLE = "trouble"
    #: The final answer.
    RESULT = "result"


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscriptStep:
    """One step of an agent."""

    kind: StepKind
    text: str
    #: Name of the tool; empty for other steps.
    tool: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """Answer to a report of a worker's usage."""

    #: Why the worker must end now; empty if it may continue.
    stop: str = ""
    #: True if the worker waits for its child jobs or for a lock.
    waiting: bool = False
    #: True if a limit on agents' usage applies to the worker.
    capped: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A saved state of a worker's worktree."""

    worker_id: str
    name: str
    #: The attempt before or after which the checkpoint was created; 0 for the worker's start.
    attempt: int
    at: float | None
    commit: str
    #: Number of files that differ from the previous checkpoint.
    files_changed: int
    #: True if the checkpoint has ignored files.
    has_ignored: bool
    #: Ignored files that are not saved, with reasons.
    not_kept: Mapping[str, str]
    #: The gates' results, as text; empty if there are none.
    gates: str
    #: True if the worker's branch is at this checkpoint.
    is_current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RolledBack:
    """Result of a rollback of a worker's branch to a checkpoint."""

    checkpoint: str
    commit: str
    #: The checkpoint with the state before the rollback.
    kept: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Health of the server and of its parts."""

    ready: bool
    #: Result of the check of each part: "ok", or the problem as text.
    checks: Mapping[str, str] = field(default_factory=dict)
    #: Why no worker starts now; empty when workers start.
    paused: str = ""
    #: Number of AI agents that can work on this machine.
    usable_agents: int = 0
    #: Number of AI agents that the product can drive.
    known_agents: int = 0
    containment: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """Readiness of an agent on this machine."""

    name: str
    description: str
    #: The program to find, as the settings name it; empty if none is needed.
    command: str = ""
    #: Path of the agent's program; empty if none is needed, or if it is missing.
    path: str = ""
    #: Version of the program, if it is known without running the program.
    version: str = ""
    installed: bool = True
    #: Source of the credential, such as "ANTHROPIC_API_KEY" or a file; empty: none found.
    credential: str = ""
    authenticated: bool = True
    #: State of the login: "yes", "no", or "unknown"; recent workers have shown it.
    login: Login = "yes"
    #: Why the login failed, as text.
    login_refused: str = ""
    #: Steps that make the agent ready, in order: commands that install it or log in, as text.
    mend: tuple[str, ...] = ()
    #: Parts of the user's configuration that reach the agent's workers: mcp, skills, hooks, memory.
    inherit: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.installed and self.authenticated

    @property
    def hindrance(self) -> str:
        """Why the agent cannot work, and what to do; empty if it can."""
        if self.usable:
            return ""
        lacks = f"command {self.command!r} not found" if self.command else "not installed"
        missing = "no credentials found" if self.installed else lacks
        return f"{missing}; {'; then '.join(self.mend)}" if self.mend else missing


def with_login(agent: Availability, seen: LoginsSeen | None) -> Availability:
    """Return the readiness of an agent, with the state of its login that workers have shown."""
    if seen is None or not agent.authenticated:
        return agent
    if seen.works:
        return replace(agent, login="yes")
    mend = (*agent.mend, seen.mend) if seen.mend else agent.mend
    return replace(agent, login="no", login_refused=seen.why, mend=mend)
