"""Logins of agents, as recent workers observed them.

Until an agent's login is known to work, a job starts only one worker of the agent. If the login
fails, the other workers of the agent end without a start, because each would get the same error.
"""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.ports.credentials import KNOWN_SECONDS, CredentialLookup, LoginState

#: What to do if the account of an agent has no credit.
ADD_CREDIT = "add credit to the account, or choose another agent: --agent NAME"


class AgentLogins:
    """States of logins, by agent. All workers of an agent share an account and its login."""

    def __init__(self, credentials: CredentialLookup) -> None:
        self._credentials = credentials
        self._seen: dict[str, LoginState] = {}

    def doubtful(self, agent: str, now: float) -> bool:
        """True if the agent requires a login, and the login is not known to work."""
        seen = self._valid_state(agent, now)
        return self._credentials.login(agent) and not (seen and seen.works)

    def record_success(self, agent: str, now: float) -> None:
        """Record that the agent's login works. Agents without a login are ignored."""
        if self._credentials.login(agent):
            self._seen[agent] = LoginState(True, "", now)

    def record(self, agent: str, verdict: Verdict, now: float) -> Verdict:
        """If the verdict reports a failed login or an account without credit, record this.

        Return the verdict. If the remedy is known, the returned verdict's reason also states the
        remedy.
        """
        if not verdict.login_refused:
            return verdict
        fix = ADD_CREDIT if verdict.lacks_credit else self._credentials.fix(agent)
        credential = self._credentials.credential(agent)
        self._seen[agent] = LoginState(False, verdict.reason, now, credential, fix)
        if not fix:
            return verdict
        # The service's message may end with a period.
        reason = verdict.reason.removesuffix(".")
        todo = fix if verdict.lacks_credit else f"to fix the login: {fix}"
        return replace(verdict, reason=f"{reason}; {todo}")

    def seen(self, now: float) -> Mapping[str, LoginState]:
        """Return the known states of logins, by agent.

        Old states are omitted. A failed login is also omitted if the agent's credential has changed
        since the failure.
        """
        return {
            agent: seen for agent in tuple(self._seen) if (seen := self._valid_state(agent, now))
        }

    def failures(self, now: float) -> Mapping[str, str]:
        """Return agents whose login failed recently, with reasons. Any thread may call."""
        return {agent: seen.why for agent, seen in self.seen(now).items() if not seen.works}

    def fallback(self, agent: str, now: float) -> str:
        """Return the best agent whose login has not failed, in place of ``agent``.

        Return "" if ``agent`` itself is the best agent, or if there is none.
        """
        found = self._credentials.best_without(self.failures(now))
        return "" if found == agent else found

    def _valid_state(self, agent: str, now: float) -> LoginState | None:
        seen = self._seen.get(agent)
        if seen is None or now - seen.at >= KNOWN_SECONDS:
            return None
        if seen.works or seen.credential == self._credentials.credential(agent):
            return seen
        return None
