"""Throttles agents whose accounts are rate-limited: pauses, then fewer workers at a time."""

from orchestrator.core.dataclass import dataclass

#: Seconds without starts after a rate limit that names no time. Each further rate limit doubles the
#: seconds, up to the second value.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
#: Maximum seconds to wait for the time that a provider names. A later time is not believed.
LONGEST_RESET_SECONDS = 6 * 3600.0
#: Seconds until a worker is checked again if its agent has reached its number of workers.
LOOK_AGAIN_SECONDS = 5.0


@dataclass(slots=True)
class _Account:
    #: Number of workers that may run at the same time.
    limit: float
    #: The value of ``limit`` before the first rate limit. When ``limit`` reaches it again, the
    #: throttle is removed.
    before: int
    paused_until: float
    pause: float = FIRST_PAUSE_SECONDS


class AgentThrottle:
    """Throttles of agents, by name: agents with the same name share an account.

    The number of workers grows by addition and shrinks by division (Chiu and Jain, 1989), as in
    TCP. An agent whose account was never limited has no throttle.
    """

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._accounts: dict[str, _Account] = {}

    @property
    def is_limiting(self) -> bool:
        return bool(self._accounts)

    def started(self, agent: str) -> None:
        self._running[agent] = self._running.get(agent, 0) + 1

    def gone(self, agent: str) -> None:
        self._running[agent] -= 1

    def refused(self, agent: str, resets_at: float | None, now: float) -> float:
        """Record that a rate limit ended a worker. Return when to use the agent again (Unix time).

        Call ``gone`` for the worker first.
        """
        running = self._running.get(agent, 0) + 1
        account = self._accounts.get(agent)
        if account is None:
            account = self._accounts[agent] = _Account(running, running, now)
        # Several rate limits at about the same time halve the number only once.
        if now >= account.paused_until:
            account.limit = max(1.0, min(account.limit, running) / 2)
            until = _bounded(resets_at, now) or now + account.pause
            account.paused_until = until
            account.pause = min(account.pause * 2, LONGEST_PAUSE_SECONDS)
        elif resets_at is not None:
            account.paused_until = max(account.paused_until, _bounded(resets_at, now) or now)
        return account.paused_until

    def succeeded(self, agent: str) -> None:
        account = self._accounts.get(agent)
        if account is None:
            return
        account.limit += 1 / account.limit
        account.pause = FIRST_PAUSE_SECONDS
        if account.limit > account.before:
            del self._accounts[agent]

    def held_until(self, agent: str, now: float) -> float | None:
        """Return the time at which one more worker may start; None: now."""
        account = self._accounts.get(agent)
        if account is None:
            return None
        if now < account.paused_until:
            return account.paused_until
        full = self._running.get(agent, 0) >= max(1, int(account.limit))
        return now + LOOK_AGAIN_SECONDS if full else None


def _bounded(resets_at: float | None, now: float) -> float | None:
    if resets_at is None or resets_at <= now:
        return None
    return min(resets_at, now + LONGEST_RESET_SECONDS)
