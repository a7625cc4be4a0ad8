"""Logins of agents, as their workers have shown them: valid, failed, or unknown. Pure.

While a login is unknown, a job starts only one worker with it. If the login fails, the waiting
workers of the same agent end without a start, because each would get the same error.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from orchestrator.core.dataclass import dataclass
from orchestrator.core.outcome.attempt_outcome import Verdict

#: Seconds for which an observed state of a login remains valid.
KNOWN_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """Functions that return facts about the credential of an agent, which is given by its name."""

    #: Returns True if the agent requires a key or a login.
    login: Callable[[str], bool] = lambda agent: False
    #: Returns how to fix a failed login, as text; "" if unknown.
    mend: Callable[[str], str] = lambda agent: ""
    #: Returns the best agent that can work here, except the given agents; "" if there is none. Used
    #: if the user left the agent open.
    best_without: Callable[[Collection[str]], str] = lambda refused: ""
    #: Returns a fingerprint of the agent's credential, which is cheap to compute. It changes when
    #: the user logs in again.
    credential: Callable[[str], str] = lambda agent: ""


@dataclass(frozen=True, slots=True)
class LoginsSeen:
    works: bool
    why: str
    at: float
    #: Fingerprint of the agent's credential at the time when its login failed.
    credential: str = ""
    #: How to fix the login, as text.
    mend: str = ""


class AgentLogins:
    """States of logins, by agent. Agents with the same name share an account."""

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._seen: dict[str, LoginsSeen] = {}

    def doubtful(self, agent: str, now: float) -> bool:
        """True if the agent requires a login that is not known to work."""
        seen = self._fresh(agent, now)
        return self._needs.login(agent) and not (seen and seen.works)

    def worked(self, agent: str, now: float) -> None:
        if self._needs.login(agent):
            self._seen[agent] = LoginsSeen(True, "", now)

    def record(self, agent: str, verdict: Verdict, now: float) -> Verdict:
        """Record the login's failure if the verdict reports one. Return the verdict.

        After a failed login, its reason also says how to fix the login.
        """
        if not verdict.login_refused:
            return verdict
        mend, credential = self._needs.mend(agent), self._needs.credential(agent)
        self._seen[agent] = LoginsSeen(False, verdict.reason, now, credential, mend)
        return (
            replace(verdict, reason=f"{verdict.reason}; to fix the login: {mend}")
            if mend
            else verdict
        )

    def seen(self, now: float) -> Mapping[str, LoginsSeen]:
        """Return the known states of logins, by agent.

        Omits old states, and failures of credentials that have changed since.
        """
        return {agent: seen for agent in tuple(self._seen) if (seen := self._fresh(agent, now))}

    def refused(self, now: float) -> Mapping[str, str]:
        """Return agents whose login failed recently, with reasons. Any thread may call."""
        return {agent: seen.why for agent, seen in self.seen(now).items() if not seen.works}

    def fallback(self, agent: str, now: float) -> str:
        """Return the best agent whose login has not failed.

        "" if it is ``agent``, or if there is none.
        """
        found = self._needs.best_without(self.refused(now))
        return "" if found == agent else found

    def _fresh(self, agent: str, now: float) -> LoginsSeen | None:
        seen = self._seen.get(agent)
        if seen is None or now - seen.at >= KNOWN_SECONDS:
            return None
        return seen if seen.works or seen.credential == self._needs.credential(agent) else None
