"""Readiness of agents on this machine and on the nodes of a cluster, with the login's state."""

from dataclasses import replace
from typing import Literal, NamedTuple

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.ports.credentials import LoginState

Login = Literal["yes", "no", "unknown"]


class UnusableAgent(NamedTuple):
    name: str
    #: Why the agent cannot work, such as "command 'codex' not found".
    reason: str
    #: Steps that make the agent ready, in order: commands that install it or log in, as text.
    fix: tuple[str, ...] = ()

    @property
    def hindrance(self) -> str:
        return f"{self.reason}; to fix: {'; then '.join(self.fix)}" if self.fix else self.reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """Readiness of an agent on this machine, and on the nodes of the cluster."""

    name: str
    description: str
    #: Name or path of the agent's program, as in the settings; empty if the agent needs no program.
    command: str = ""
    #: Path of the agent's program; empty if the agent needs no program, or if the program is
    #: missing.
    path: str = ""
    #: Version of the program; empty if only a run of the program could report it.
    version: str = ""
    installed: bool = True
    #: Source of the credential, such as "ANTHROPIC_API_KEY" or a file; empty: none found.
    credential: str = ""
    authenticated: bool = True
    #: State of the login that recent workers have observed: "yes", "no", or "unknown".
    login: Login = "yes"
    #: Why the login failed, as text.
    login_refused: str = ""
    #: Steps that make the agent ready, in order: commands that install it or log in, as text.
    fix: tuple[str, ...] = ()
    #: Parts of the user's configuration that reach the agent's workers: mcp, skills, hooks, memory.
    inherit: tuple[str, ...] = ()
    #: Nodes of the cluster on which the agent can work.
    nodes: tuple[str, ...] = ()
    #: Why the agent cannot work on any machine of the cluster; empty if it can work on one, or if
    #: there are no nodes.
    nowhere: str = ""

    @property
    def works_here(self) -> bool:
        return self.installed and self.authenticated

    @property
    def usable(self) -> bool:
        """True if the agent can work on this machine or on a node."""
        return self.works_here or bool(self.nodes)

    @property
    def hindrance(self) -> str:
        """Why the agent cannot work on any machine, and what to do; empty if it can work."""
        return "" if self.usable else self.nowhere or self.hindrance_here

    @property
    def hindrance_here(self) -> str:
        unusable = self.unusable_here
        return unusable.hindrance if unusable else ""

    @property
    def unusable_here(self) -> UnusableAgent | None:
        if self.works_here:
            return None
        problem = f"command {self.command!r} not found" if self.command else "not installed"
        return UnusableAgent(
            self.name, "no credentials found" if self.installed else problem, self.fix
        )


def with_login(agent: Availability, seen: LoginState | None) -> Availability:
    """Return the agent's readiness, with the state of the agent's login.

    ``seen``: the state of the login that recent workers have observed; None if unknown.
    """
    if seen is None or not (agent.authenticated or agent.nodes):
        return agent
    if seen.works:
        return replace(agent, login="yes")
    fix = (*agent.fix, seen.fix) if seen.fix else agent.fix
    return replace(agent, login="no", login_refused=seen.why, fix=fix)
