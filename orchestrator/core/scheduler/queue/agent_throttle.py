"""Throttle: how many workers of one agent may run while its account is limited. Additive increase,
multiplicative decrease (Chiu and Jain, 1989), as in TCP. Pure.

An agent whose account was never limited has no bound.
"""

from dataclasses import dataclass

#: Seconds without starts after a rate limit that names no time. Each further rate limit doubles
#: the seconds, up to the longest.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
#: A provider's time of its next free call is believed up to this many seconds.
LONGEST_RESET_SECONDS = 6 * 3600.0
#: Seconds after which a worker that found no capacity is checked again.
LOOK_AGAIN_SECONDS = 5.0


@dataclass(slots=True)
class _Account:
    #: Number of workers that may run at the same time.
    limit: float
    #: The number before the first rate limit: at this number, the bound is removed.
    before: int
    paused_until: float
    pause: float = FIRST_PAUSE_SECONDS


class AgentThrottle:
    """Throttles by agent: agents with the same name share an account."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._accounts: dict[str, _Account] = {}

    def started(self, agent: str) -> None:
        self._running[agent] = self._running.get(agent, 0) + 1

    def gone(self, agent: str) -> None:
        self._running[agent] -= 1

    def refused(self, agent: str, resets_at: float | None, now: float) -> float:
        """Record that a rate limit ended a worker. Return when the agent may be used again (Unix
        time).

        Call after ``gone`` for that worker.
        """
        running = self._running.get(agent, 0) + 1
        account = self._accounts.get(agent)
        if account is None:
            account = self._accounts[agent] = _Account(running, running, now)
        # several rate limits at about the same time halve the number once
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
