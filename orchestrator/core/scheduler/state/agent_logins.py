"""States of agents' logins, and accounts without credit, as recent workers observed them.

All workers of an agent share one account, with one login.
"""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.ports.credentials import KNOWN_SECONDS, CredentialLookup, LoginState

#: What to do if the account of an agent has no credit.
ADD_CREDIT = "add credit to the account, or choose another agent: --agent NAME"


class AgentLogins:
    """States of logins, by agent.

    Until a worker has shown that an agent's login works, a job starts only one worker of the agent.
    If the login fails, the other workers of the agent end without a start, because each would get
    the same error.
    """

    def __init__(self, credentials: CredentialLookup) -> None:
        self._credentials = credentials
        self._seen: dict[str, LoginState] = {}

    def doubtful(self, agent: str, now: float) -> bool:
        """True if the agent requires a login that no recent worker has used with success."""
        state = self._valid_state(agent, now)
        return self._credentials.needs_login(agent) and not (state and state.works)

    def record_success(self, agent: str, now: float) -> None:
        """Record that the agent's login works.

        For an agent that requires no login, only forget an earlier failure: a local model's server
        may have required a login for another model.
        """
        if self._credentials.needs_login(agent):
            self._seen[agent] = LoginState(True, "", now)
        else:
            self._seen.pop(agent, None)

    def record(self, agent: str, verdict: Verdict, now: float) -> Verdict:
        """Record a failed login or an account without credit, if the verdict reports one.

        Return the verdict. If the remedy is known, add it to the verdict's reason.
        """
        if not verdict.login_refused:
            return verdict
        fix = ADD_CREDIT if verdict.lacks_credit else self._credentials.fix(agent)
        fingerprint = self._credentials.fingerprint(agent)
        self._seen[agent] = LoginState(False, verdict.reason, now, fingerprint, fix)
        if not fix:
            return verdict
        # The service's message may end with a period.
        reason = verdict.reason.removesuffix(".")
        remedy = fix if verdict.lacks_credit else f"to fix the login: {fix}"
        return replace(verdict, reason=f"{reason}; {remedy}")

    def seen(self, now: float) -> Mapping[str, LoginState]:
        """Return the recent states of logins, by agent.

        A failed login is omitted if the agent's credential has changed since the failure.
        """
        return {
            agent: state for agent in tuple(self._seen) if (state := self._valid_state(agent, now))
        }

    def failures(self, now: float) -> Mapping[str, str]:
        """Return agents whose login failed recently, with reasons. Any thread may call."""
        return {agent: state.why for agent, state in self.seen(now).items() if not state.works}

    def fallback(self, agent: str, now: float) -> str:
        """Return the best agent whose login has not failed, as a replacement for ``agent``.

        Return "" if ``agent`` itself is the best agent, or if no agent can replace it.
        """
        best = self._credentials.best_without(self.failures(now))
        return "" if best == agent else best

    def _valid_state(self, agent: str, now: float) -> LoginState | None:
        state = self._seen.get(agent)
        if state is None or now - state.at >= KNOWN_SECONDS:
            return None
        if state.works or state.fingerprint == self._credentials.fingerprint(agent):
            return state
        return None
