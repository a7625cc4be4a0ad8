"""The port to agents' credentials, and the observed states of agents' logins."""

from collections.abc import Callable, Collection

from orchestrator.core.lazy_dataclass import dataclass

#: Seconds for which an observed state of a login remains valid.
KNOWN_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialLookup:
    """Functions that get an agent's name, and return facts about the agent's credential."""

    #: Returns True if the agent requires a key or a login.
    login: Callable[[str], bool] = lambda agent: False
    #: Returns how to fix a failed login, as text; "" if unknown.
    fix: Callable[[str], str] = lambda agent: ""
    #: Returns the best agent that can work on this machine, except the given agents; "" if there is
    #: none. Used if the user named no agent.
    best_without: Callable[[Collection[str]], str] = lambda refused: ""
    #: Returns a fingerprint of the agent's credential. It is cheap to compute, and changes when the
    #: user logs in again.
    credential: Callable[[str], str] = lambda agent: ""


@dataclass(frozen=True, slots=True)
class LoginState:
    """The latest observed state of an agent's login."""

    works: bool
    why: str
    at: float
    #: Fingerprint of the agent's credential at the time when its login failed.
    credential: str = ""
    #: How to fix the login, as text.
    fix: str = ""
