"""What the workers of an agent have shown of its login: that it works, or that it is refused.

An agent whose login nobody knows to work sends one worker of a job ahead. When that is refused,
those of its tree that have not started end with it: each would cost a call for the same answer.
Pure.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from orchestrator.core.outcome.attempt_outcome import Verdict

#: So long what was seen of a login is taken for true.
KNOWN_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What is known of agents, by their names."""

    #: It cannot work without a key or a login.
    login: Callable[[str], bool] = lambda agent: False
    #: What to do about a login that is refused, in words; may be empty.
    mend: Callable[[str], str] = lambda agent: ""
    #: The best that can work here without those that are given, for whoever left the choice open;
    #: empty: there is none.
    best_without: Callable[[Collection[str]], str] = lambda refused: ""
    #: What can be seen of its credential at no cost: something else once the user logged in again.
    credential: Callable[[str], str] = lambda agent: ""


@dataclass(frozen=True, slots=True)
class LoginsSeen:
    works: bool
    why: str
    at: float
    #: What was seen of its credential then.
    credential: str = ""
    #: What to do about it, in words.
    mend: str = ""


class AgentLogins:
    """By agent: those with the same name share an account."""

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._seen: dict[str, LoginsSeen] = {}

    def doubtful(self, agent: str, now: float) -> bool:
        """Whether it needs a login that is not known to work."""
        seen = self._fresh(agent, now)
        return self._needs.login(agent) and not (seen and seen.works)

    def worked(self, agent: str, now: float) -> None:
        if self._needs.login(agent):
            self._seen[agent] = LoginsSeen(True, "", now)

    def told(self, agent: str, verdict: Verdict, now: float) -> Verdict:
        """Take in what became of an attempt; where its login was refused, with what mends that."""
        if not verdict.login_refused:
            return verdict
        mend, credential = self._needs.mend(agent), self._needs.credential(agent)
        self._seen[agent] = LoginsSeen(False, verdict.reason, now, credential, mend)
        return replace(verdict, reason=f"{verdict.reason}; to mend it: {mend}") if mend else verdict

    def seen(self, now: float) -> Mapping[str, LoginsSeen]:
        """What is known, without what was seen too long ago."""
        return {agent: seen for agent in tuple(self._seen) if (seen := self._fresh(agent, now))}

    def refused(self, now: float) -> Mapping[str, str]:
        """Agents whose login was refused lately, and why. Any thread may ask."""
        return {agent: seen.why for agent, seen in self.seen(now).items() if not seen.works}

    def fallback(self, agent: str, now: float) -> str:
        """The best that is not known to be refused; empty: there is none but this one."""
        found = self._needs.best_without(self.refused(now))
        return "" if found == agent else found

    def _fresh(self, agent: str, now: float) -> LoginsSeen | None:
        seen = self._seen.get(agent)
        if seen is None or now - seen.at >= KNOWN_SECONDS:
            return None
        return seen if seen.works or seen.credential == self._needs.credential(agent) else None
