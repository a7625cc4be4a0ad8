"""What keys, and the whole server, may spend in a day and run at once. Pure.

A day is one of UTC. Its sums are stored with the usage that they hold, so that a restart knows
them; removing old jobs leaves them alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestrator.core.errors import LimitReached
from orchestrator.core.spending import amount

DAY_SECONDS = 86_400
_PER_DAY = "max_cost_usd_per_day"


@dataclass(frozen=True, kw_only=True, slots=True)
class DaySpent:
    """What the jobs of one key cost in one day; ``day`` counts from the epoch."""

    day: int
    key_name: str
    cost_usd: float


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyLimits:
    """What one key may use; None: any amount."""

    max_cost_usd_per_day: float | None = None
    max_running_jobs: int | None = None
    max_workers: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """A limit that all is used of."""

    #: As it is called in ``config.yaml``.
    limit: str
    most: float
    used: float
    #: When more may be used; None: that depends on what runs.
    free_at: float | None = None

    def __str__(self) -> str:
        free = f", free again at {utc(self.free_at)}" if self.free_at is not None else ""
        used, most = (amount("max_cost_usd", each) for each in (self.used, self.most))
        return f"{self.limit} ({used} of {most} used{free})"


@dataclass(kw_only=True, slots=True)
class Quotas:
    """The limits, and what is used of them today."""

    #: What the whole server may spend in a day.
    max_cost_usd_per_day: float | None = None
    keys: Mapping[str, KeyLimits] = field(default_factory=dict)
    _sums: dict[tuple[int, str], float] = field(default_factory=dict)

    def load(self, stored: Iterable[DaySpent]) -> None:
        self._sums |= {(each.day, each.key_name): each.cost_usd for each in stored}

    def of(self, key_name: str) -> KeyLimits:
        return self.keys.get(key_name, _NONE)

    @property
    def limits_days(self) -> bool:
        keys = (each.max_cost_usd_per_day for each in self.keys.values())
        return any(each is not None for each in (self.max_cost_usd_per_day, *keys))

    def limits_day_of(self, key_name: str) -> bool:
        own = self.of(key_name).max_cost_usd_per_day
        return own is not None or self.max_cost_usd_per_day is not None

    def spend(self, key_name: str, cost_usd: float, now: float) -> DaySpent:
        """Add to today's sum of a key, and return the row to store."""
        day = day_of(now)
        self._sums = {at: each for at, each in self._sums.items() if at[0] >= day}
        total = max(0.0, self._sums.get((day, key_name), 0.0) + cost_usd)
        self._sums[day, key_name] = total
        return DaySpent(day=day, key_name=key_name, cost_usd=total)

    def spent(self, now: float, key_name: str | None = None) -> float:
        """By one key, or by all, today."""
        today = ((name, each) for (day, name), each in self._sums.items() if day == day_of(now))
        return sum(each for name, each in today if key_name in (None, name))

    def day_reached(self, key_name: str, now: float) -> Reached | None:
        """The limit on what the key, or the server, may spend today, if all of it is spent."""
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
                return Reached(limit=limit, most=most, used=used, free_at=free_at)
        return None

    def check_day(self, key_name: str, now: float) -> None:
        """Raise LimitReached when the key may spend nothing more today."""
        reached = self.day_reached(key_name, now)
        if reached is not None:
            raise LimitReached(
                f"today's money is spent: {reached}; submit again then, or raise the limit in "
                "config.yaml",
                kind="limit-cost-per-day",
                limit=reached.limit,
                most=reached.most,
                used=round(reached.used, 6),
                free_at=reached.free_at,
            )

    def check_running(self, key_name: str, running: int) -> None:
        """Raise LimitReached when the key has as many unfinished jobs as it may have."""
        most = self.of(key_name).max_running_jobs
        if most is not None and running >= most:
            limit = f"api.keys[{key_name}].limits.max_running_jobs"
            raise LimitReached(
                f"{running} of {most} jobs of the key {key_name!r} are unfinished ({limit}); "
                "submit again when one of them has ended",
                kind="limit-running-jobs",
                limit=limit,
                most=most,
                used=running,
            )


_NONE = KeyLimits()


def day_of(now: float) -> int:
    return int(now // DAY_SECONDS)


def utc(at: float) -> str:
    """Such as "2026-11-24 00:00 UTC"."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
