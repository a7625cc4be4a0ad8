"""Accounts of agents, as recent workers observed them: logins, credit, and rate limits.

All workers of an agent share one account, with one login and one throttle.
"""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.ports.credentials import KNOWN_SECONDS, CredentialLookup, LoginState

#: What to do if the account of an agent has no credit.
ADD_CREDIT = "add credit to the account, or choose another agent: --agent NAME"

#: Seconds for which no worker of an agent starts after a rate limit, if the provider does not name
#: its end: the first pause, and the longest pause. Each further rate limit doubles the pause.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
#: Maximum seconds to wait if a provider names the end of a rate limit. A later end is not trusted.
LONGEST_RESET_SECONDS = 6 * 3600.0
#: Seconds until a worker is checked again if the throttle delayed its start.
LOOK_AGAIN_SECONDS = 5.0


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
        return self._credentials.login(agent) and not (state and state.works)

    def record_success(self, agent: str, now: float) -> None:
        """Record that the agent's login works. Agents without a login are ignored."""
        if self._credentials.login(agent):
            self._seen[agent] = LoginState(True, "", now)

    def record(self, agent: str, verdict: Verdict, now: float) -> Verdict:
        """Record a failed login or an account without credit, if the verdict reports one.

        Return the verdict. If the remedy is known, add it to the verdict's reason.
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
        if state.works or state.credential == self._credentials.credential(agent):
            return state
        return None


@dataclass(slots=True)
class _Account:
    """The throttle of one agent's account."""

    #: Number of workers that may run at the same time.
    limit: float
    #: Number of workers that ran at the time of the first rate limit. When ``limit`` is above this
    #: number, the throttle is removed.
    before: int
    paused_until: float
    pause: float = FIRST_PAUSE_SECONDS


class AgentThrottle:
    """Throttles of agents after rate limits (back-off), by agent.

    After a rate limit, no worker of the agent starts for some time. Then a throttle limits how many
    workers of the agent run at the same time. The limit grows by addition and shrinks by division
    (Chiu and Jain, 1989), as in TCP. An agent has a throttle only after a rate limit.
    """

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._accounts: dict[str, _Account] = {}

    @property
    def is_limiting(self) -> bool:
        return bool(self._accounts)

    def started(self, agent: str) -> None:
        self._running[agent] = self._running.get(agent, 0) + 1

    def worker_ended(self, agent: str) -> None:
        self._running[agent] -= 1

    def record_rate_limit(self, agent: str, resets_at: float | None, now: float) -> float:
        """Record that a rate limit ended a worker. Return when the agent may start again.

        The result is a Unix time. ``resets_at``: the provider's end of the rate limit; None if
        unknown. Call ``worker_ended`` for the worker first.
        """
        running = self._running.get(agent, 0) + 1
        account = self._accounts.get(agent)
        if account is None:
            account = self._accounts[agent] = _Account(running, running, now)
        # Several rate limits at about the same time halve the number only once.
        if now >= account.paused_until:
            account.limit = max(1.0, min(account.limit, running) / 2)
            until = _trusted_reset(resets_at, now) or now + account.pause
            account.paused_until = until
            account.pause = min(account.pause * 2, LONGEST_PAUSE_SECONDS)
        elif resets_at is not None:
            account.paused_until = max(account.paused_until, _trusted_reset(resets_at, now) or now)
        return account.paused_until

    def succeeded(self, agent: str) -> None:
        """Record a success of the agent, which raises the limit or removes the throttle."""
        account = self._accounts.get(agent)
        if account is None:
            return
        account.limit += 1 / account.limit
        account.pause = FIRST_PAUSE_SECONDS
        if account.limit > account.before:
            del self._accounts[agent]

    def held_until(self, agent: str, now: float) -> float | None:
        """Return when another worker of the agent may start; None: now.

        At the returned time, call again, because the worker may have to wait longer.
        """
        account = self._accounts.get(agent)
        if account is None:
            return None
        if now < account.paused_until:
            return account.paused_until
        is_full = self._running.get(agent, 0) >= max(1, int(account.limit))
        return now + LOOK_AGAIN_SECONDS if is_full else None


def _trusted_reset(resets_at: float | None, now: float) -> float | None:
    if resets_at is None or resets_at <= now:
        return None
    return min(resets_at, now + LONGEST_RESET_SECONDS)
