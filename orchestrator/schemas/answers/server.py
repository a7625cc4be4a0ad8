"""Answers about the server: health, figures, agents, keys, checks, and nodes of the cluster."""

from typing import Literal

from pydantic import Field

from orchestrator.core.model.caller import Scope
from orchestrator.schemas.answers.answer import Answer, Usd


class StatsAnswer(Answer):
    """Counts, rates, and cost."""

    jobs: dict[str, int] = Field(default={})
    workers: dict[str, int] = Field(default={})
    per_minute: dict[str, int] = Field(default={})
    """Numbers of jobs and workers that ended in the last minute."""
    gates: dict[str, int] = Field(default={})
    """Number of gate results since the server's start, by outcome."""
    cost_usd: Usd | None = None
    """Known cost of all workers and planners; omitted if no cost is known."""
    cost_estimated: bool = False
    """True if a part of the cost was computed from a price table."""
    cost_partial: bool = False
    """True if the cost of some workers is unknown or incomplete."""
    attempts: int = 0
    slots: dict[str, int] = Field(default={})
    """Three numbers: running workers, workers with a process, and all slots."""
    containment: str = ""
    """How the processes of workers are contained."""


class AgentAnswer(Answer):
    """An agent and its availability.

    Fields other than ``usable`` and ``nodes`` describe the server's machine.
    """

    name: str
    description: str
    usable: bool
    """True if tasks can name the agent: it can work on the server's machine or on a node."""
    nodes: list[str]
    """Nodes of the cluster on which the agent can work."""
    installed: bool
    path: str | None = None
    """Path of the agent's program."""
    version: str | None = None
    """Version, if known without running the program."""
    authenticated: bool
    """True if a credential was found, or none is needed."""
    login: Literal["yes", "no", "unknown"]
    """Result of the latest login by a worker: yes (or the agent needs no login), no (the login
    failed), or unknown (no login in the last ten minutes)."""
    login_refused: str | None = None
    """Reason why the login failed."""
    credential: str | None = None
    """Variable or file of the credential."""
    fix: list[str]
    """Commands that make the agent usable."""
    mend: list[str]
    """Alias of fix."""
    inherit: list[str]
    """Parts of the user's configuration that workers inherit: mcp, skills, hooks, or memory."""


class AgentsAnswer(Answer):
    """All agents: first the AI agents, from best to worst, then the agents without a model."""

    agents: list[AgentAnswer]


class UnusableAgentAnswer(Answer):
    """An agent that cannot work on a node."""

    name: str
    reason: str
    fix: list[str] = Field(description="Commands that make the agent usable on the node, in order.")


class NodeAnswer(Answer):
    """A node of the cluster."""

    name: str
    state: Literal["up", "drained", "unreachable", "rejected", "unknown"] = Field(
        description="unknown: the node has not connected since the start of the server."
    )
    drained: bool = Field(description="True if the node was drained: no more workers start on it.")
    slots: int = Field(description="Number of workers that may run on the node at the same time.")
    running: int
    waiting: int = Field(
        description="Number of workers that wait for child jobs or locks, and hold no slot."
    )
    agents: list[str] = Field(
        description="Agents that can work on the node: their program and a credential exist."
    )
    unusable_agents: list[UnusableAgentAnswer] = Field(
        description="Agents that cannot work on the node; empty until the node has connected."
    )
    labels: dict[str, str]
    memory_bytes: int | None = Field(description="Available memory; null: unknown.")
    disk_bytes: int | None = Field(
        description="Free space of the disk with the node's state directory; null: unknown."
    )
    own_files: bool | None = Field(
        description="True if the node does not share the server's files; null: unknown."
    )
    address: str
    version: str
    seen_seconds: float | None = Field(
        description="Seconds since the node's latest message; null: no message yet."
    )
    clock_skew_seconds: float
    notice: str = Field(
        description=(
            "Problem of the node, or what happens to the node's workers; empty: no problem."
        )
    )


class NodesAnswer(Answer):
    """Nodes of the cluster, without the server's own machine."""

    nodes: list[NodeAnswer]


class KeyAnswer(Answer):
    """Name and scopes of an API key, without the key itself."""

    name: str
    scopes: list[Scope]


class KeysAnswer(Answer):
    """All API keys, by name."""

    keys: list[KeyAnswer]


class DoctorCheckAnswer(Answer):
    """One check of the installation."""

    name: str
    ok: bool | None = None
    """True: the check passed. False: the check failed. Omitted: the check is a note."""
    message: str
    fix: str = ""
    """How to fix a problem: a command or a setting."""


class DoctorAnswer(Answer):
    """The checks of ``orchestrator doctor``."""

    ok: bool
    """True if no check failed."""
    checks: list[DoctorCheckAnswer]
    """The checks. Fix problems in this order."""


class OtherServerAnswer(Answer):
    """Another server of the same user on this machine."""

    url: str
    project: str
    """Path of the server's project."""


class ServerAnswer(Answer):
    """The server: its version, its project, and other servers of the same user."""

    version: str
    project: str
    """Path of the project."""
    servers: list[OtherServerAnswer]
    """The other servers of this user on this machine."""


class HealthAnswer(Answer):
    """Health of the server: alive (the server answers) and ready (the server can run jobs)."""

    status: str = Field(pattern="^(ok|unavailable)$")
    ready: bool
    checks: dict[str, str]
    paused: str = ""
    """Reason why no worker starts now; empty if workers start."""
    usable_agents: int = 0
    """Number of AI agents that can work on the server's machine or on a node."""
    known_agents: int = 0
    """Number of all AI agents."""
    containment: str
    version: str
