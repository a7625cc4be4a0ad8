"""Back-off of agents after rate limits: when workers start again, and how many run.

All workers of an agent share one account, with one throttle.
"""

from orchestrator.core.lazy_dataclass import dataclass

#: Seconds for which no worker of an agent starts after a rate limit: the first pause, and the
#: longest pause. Each further rate limit doubles the pause. Used if the provider does not name the
#: end of the rate limit.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
#: Maximum seconds to wait if a provider names the end of a rate limit. A later end is not trusted.
LONGEST_RESET_SECONDS = 6 * 3600.0
#: Seconds until a worker is checked again if the throttle delayed its start.
LOOK_AGAIN_SECONDS = 5.0


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
        # Several rate limits at about the same time halve the limit only once.
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
        """Return when another worker of the agent may start; None if it may start now.

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
