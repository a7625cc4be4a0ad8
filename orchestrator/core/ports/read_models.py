"""Results of the engine's queries, in addition to the values of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.core.limits.estimate import Estimate
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.outcome.agent_logins import LoginsSeen

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
class Used:
    """Answer to a report of a worker's usage."""

    #: Why it must end now; empty if it may continue.
    stop: str = ""
    #: Its child jobs are at work, or it waits for a lock.
    waiting: bool = False
    #: A limit on agents' usage applies to it.
    capped: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """State of a worker's worktree at one time."""

    worker_id: str
    name: str
    #: The attempt around which it was created; 0 for the worker's start.
    attempt: int
    at: float | None
    commit: str
    #: How many files differ from the checkpoint before it.
    files_changed: int
    #: True if there are ignored files; those that are not saved, with reasons.
    has_ignored: bool
    not_kept: Mapping[str, str]
    #: The gates' results, as text; empty if there are none.
    gates: str
    #: The worker's branch is at this checkpoint.
    is_current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RolledBack:
    """Result of a rollback of a worker's branch to a checkpoint."""

    checkpoint: str
    commit: str
    #: The checkpoint that keeps the former state.
    kept: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Health of the server and of its parts."""

    ready: bool
    #: By part: "ok", or its problem as text.
    checks: Mapping[str, str] = field(default_factory=dict)
    #: Why no worker starts now; empty when workers start.
    paused: str = ""
    #: Numbers of AI agents that can work here, and of known ones.
    usable_agents: int = 0
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
    #: Path of its program; empty if none is needed, or if it is missing.
    path: str = ""
    #: As far as known without running it.
    version: str = ""
    installed: bool = True
    #: Source of the credential ("ANTHROPIC_API_KEY", a file); empty: none.
    credential: str = ""
    authenticated: bool = True
    #: State of the login: "yes", "no" or "unknown", as workers have shown recently.
    login: Login = "yes"
    #: Why the login failed, as text.
    login_refused: str = ""
    #: Commands that install what is missing, in order.
    mend: tuple[str, ...] = ()
    #: Parts of its user's configuration that reach its workers: mcp, skills, hooks, memory.
    inherit: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.installed and self.authenticated

    @property
    def hindrance(self) -> str:
        """Why the agent cannot work, and what to do; empty if it can."""
        if self.usable:
            return ""
        lacks = f"command {self.command!r} was not found" if self.command else "it is not installed"
        missing = "no credential was found for it" if self.installed else lacks
        return f"{missing}; {'; then '.join(self.mend)}" if self.mend else missing


def with_login(agent: Availability, seen: LoginsSeen | None) -> Availability:
    """Add the state of the agent's login that its workers have shown."""
    if seen is None or not agent.authenticated:
        return agent
    if seen.works:
        return replace(agent, login="yes")
    mend = (*agent.mend, seen.mend) if seen.mend else agent.mend
    return replace(agent, login="no", login_refused=seen.why, mend=mend)
