"""Limits of API keys: cost per day, and number of unfinished jobs. Pure.

The cost of the whole server per day is limited, too. Days are UTC. The costs per day are stored,
and stay unchanged when old jobs are removed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import UTC, datetime

from orchestrator.core.errors import LimitReached
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.usage_caps import amount_in_words

DAY_SECONDS = 86_400
_PER_DAY = "max_cost_usd_per_day"


@dataclass(frozen=True, kw_only=True, slots=True)
class DailyCost:
    """Cost of the jobs of one API key on one day. ``day``: days since the epoch, in UTC."""

    day: int
    key_name: str
    cost_usd: float


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyLimits:
    """Limits of one API key. None means no limit."""

    max_cost_usd_per_day: float | None = None
    max_running_jobs: int | None = None
    #: Maximum number of running workers in all jobs of the key. The scheduler's slots enforce it.
    max_workers: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReachedDailyLimit:
    """A limit on the cost per day that is reached today."""

    #: Name of the limit in ``config.yaml``.
    limit: str
    most: float
    used: float
    #: Time at which the limit resets (Unix time).
    free_at: float

    def __str__(self) -> str:
        used, most = (amount_in_words("max_cost_usd", each) for each in (self.used, self.most))
        return f"{self.limit} ({used} of {most} used, resets at {utc(self.free_at)})"


@dataclass(kw_only=True, slots=True)
class AllKeyLimits:
    """Limits of API keys and of the server, with the cost of each key's jobs per day."""

    #: Limit on the cost of the whole server per day.
    max_cost_usd_per_day: float | None = None
    keys: Mapping[str, KeyLimits] = field(default_factory=dict)
    _sums: dict[tuple[int, str], float] = field(default_factory=dict)

    def load(self, stored: Iterable[DailyCost]) -> None:
        self._sums |= {(each.day, each.key_name): each.cost_usd for each in stored}

    def of(self, key_name: str) -> KeyLimits:
        return self.keys.get(key_name, _NONE)

    @property
    def limits_days(self) -> bool:
        key_limits = (each.max_cost_usd_per_day for each in self.keys.values())
        return any(each is not None for each in (self.max_cost_usd_per_day, *key_limits))

    def limits_day_of(self, key_name: str) -> bool:
        key_limit = self.of(key_name).max_cost_usd_per_day
        return key_limit is not None or self.max_cost_usd_per_day is not None

    def spend(self, key_name: str, cost_usd: float, now: float) -> DailyCost:
        """Add a cost to a key's sum for today. Return the sum as a row to store."""
        day = day_of(now)
        self._sums = {key: each for key, each in self._sums.items() if key[0] >= day}
        total = max(0.0, self._sums.get((day, key_name), 0.0) + cost_usd)
        self._sums[day, key_name] = total
        return DailyCost(day=day, key_name=key_name, cost_usd=total)

    def spent(self, now: float, key_name: str | None = None) -> float:
        today = ((name, each) for (day, name), each in self._sums.items() if day == day_of(now))
        return sum(each for name, each in today if key_name in (None, name))

    def reached_daily_limit(self, key_name: str, now: float) -> ReachedDailyLimit | None:
        """Return the daily limit that the key or the server has reached; None if neither has."""
        free_at = float((day_of(now) + 1) * DAY_SECONDS)
        limits = (
            (f"limits.{_PER_DAY}", self.max_cost_usd_per_day, self.spent(now)),
            (
                f"api.keys[{key_name}].limits.{_PER_DAY}",
                self.of(key_name).max_cost_usd_per_day,
                self.spent(now, key_name),
            ),
        )
        for limit, most, used in limits:
            if most is not None and used >= most:
                return ReachedDailyLimit(limit=limit, most=most, used=used, free_at=free_at)
        return None

    def check_day(self, key_name: str, now: float) -> None:
        """Raise LimitReached if the key may spend nothing more today."""
        reached = self.reached_daily_limit(key_name, now)
        if reached is not None:
            raise LimitReached(
                f"daily cost limit reached: {reached}; submit again after that time, or raise the "
                "limit in config.yaml",
                kind="limit-cost-per-day",
                limit=reached.limit,
                most=reached.most,
                used=round(reached.used, 6),
                free_at=reached.free_at,
            )

    def check_running(self, key_name: str, running: int) -> None:
        """Raise LimitReached if the key has its maximum number of unfinished jobs."""
        most = self.of(key_name).max_running_jobs
        if most is not None and running >= most:
            limit = f"api.keys[{key_name}].limits.max_running_jobs"
            raise LimitReached(
                f"job limit reached for key {key_name!r}: {running} of {most} unfinished jobs "
                f"({limit}); retry after the end of a job",
                kind="limit-running-jobs",
                limit=limit,
                most=most,
                used=running,
            )


_NONE = KeyLimits()


def day_of(now: float) -> int:
    return int(now // DAY_SECONDS)


def utc(at: float) -> str:
    """Format a time, such as "2026-11-24 00:00 UTC"."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
