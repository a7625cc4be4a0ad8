"""What the engine's reads answer with, beyond the plain values of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.core.limits.estimate import Estimate
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.outcome.agent_logins import LoginsSeen

Login = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """One job with everything that belongs to it alone. Workers are in order of index."""

    job: Job
    tasks: Sequence[TaskSpec]
    workers: Sequence[Worker]
    #: The worker that makes the tasks, or made them; only where the tasks are asked for.
    planner: Worker | None = None
    #: Those that compare candidates, or did; likewise.
    reviewers: Sequence[Worker] = ()
    #: What the tasks may come to use; only while they wait for approval.
    estimate: Estimate | None = None
    #: What a worker of the job may still start: depth, child_jobs, workers, wall_seconds, ...
    left: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """What follows from what a worker has used."""

    #: Why it must end now; empty when it may go on.
    stop: str = ""
    #: Its child jobs are at work, or it waits for a lock.
    waiting: bool = False
    #: A limit on what agents use applies to it.
    capped: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A worker's worktree as it was at some time."""

    worker_id: str
    name: str
    #: The one it was made around; 0 for the worker's start.
    attempt: int
    at: float | None
    commit: str
    #: How many files differ from the checkpoint before it.
    files_changed: int
    #: There are files that git ignores; of those, what is not kept, and why.
    has_ignored: bool
    not_kept: Mapping[str, str]
    #: What the checks came to, in words; empty when there were none.
    gates: str
    #: The worker's branch is there now.
    is_current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RolledBack:
    """A worker's branch is at a checkpoint again."""

    checkpoint: str
    commit: str
    #: The checkpoint that keeps what was there before.
    kept: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Whether the server can do its work, and which of its parts can not."""

    ready: bool
    #: By part: "ok", or what is wrong with it in words.
    checks: Mapping[str, str] = field(default_factory=dict)
    #: Why no worker starts now; empty when workers start.
    paused: str = ""
    #: AI agents that can work here, and those that are known.
    usable_agents: int = 0
    known_agents: int = 0
    containment: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """What stands for and against an agent on this machine."""

    name: str
    description: str
    #: The program that is looked for, as the settings name it; empty for what needs none.
    command: str = ""
    #: Where its program is; empty for what needs none, and for what is not there.
    path: str = ""
    #: As far as it can be told without running it.
    version: str = ""
    installed: bool = True
    #: Where a credential was found ("ANTHROPIC_API_KEY", a file); empty: nowhere.
    credential: str = ""
    authenticated: bool = True
    #: Whether the credential is taken: "yes", "no" or "unknown", as workers have shown lately.
    login: Login = "yes"
    #: Why it is not, in words.
    login_refused: str = ""
    #: Commands that mend what is missing, in order.
    mend: tuple[str, ...] = ()
    #: What of its user's own configuration reaches its workers: mcp, skills, hooks, memory.
    inherit: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.installed and self.authenticated

    @property
    def hindrance(self) -> str:
        """Why it cannot work and what to do; empty when it can."""
        if self.usable:
            return ""
        lacks = f"command {self.command!r} was not found" if self.command else "it is not installed"
        missing = "no credential was found for it" if self.installed else lacks
        return f"{missing}; {'; then '.join(self.mend)}" if self.mend else missing


def with_login(agent: Availability, seen: LoginsSeen | None) -> Availability:
    """With what its workers have shown of its login."""
    if seen is None or not agent.authenticated:
        return agent
    if seen.works:
        return replace(agent, login="yes")
    mend = (*agent.mend, seen.mend) if seen.mend else agent.mend
    return replace(agent, login="no", login_refused=seen.why, mend=mend)
