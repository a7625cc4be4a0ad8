"""The port to agents' credentials, and the observed states of agents' logins."""

from collections.abc import Callable, Collection

from orchestrator.core.lazy_dataclass import dataclass

#: Seconds for which an observed state of a login remains valid.
KNOWN_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialLookup:
    """Functions that return facts about the credential of the agent with the given name."""

    #: Function that returns True if the agent requires a key or a login.
    needs_login: Callable[[str], bool] = lambda agent: False
    #: Function that returns how to fix a failed login, as text; "" if unknown.
    fix: Callable[[str], str] = lambda agent: ""
    #: Function that returns the best AI agent that can work on this machine or on a node. The
    #: argument contains the agents to exclude. The result is "" if there is no such agent, or if
    #: the settings name a default agent. Used if the user named no agent.
    best_without: Callable[[Collection[str]], str] = lambda refused: ""
    #: Function that returns a fingerprint of the agent's credential. The fingerprint is cheap to
    #: compute, and changes when the user logs in again.
    fingerprint: Callable[[str], str] = lambda agent: ""


@dataclass(frozen=True, slots=True)
class LoginState:
    """The latest observed state of an agent's login."""

    works: bool
    why: str
    at: float
    #: Fingerprint of the agent's credential at the time when its login failed.
    fingerprint: str = ""
    #: How to fix the login, as text.
    fix: str = ""
