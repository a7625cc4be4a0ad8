"""Caps of jobs, limits of keys, sums of usage, and the estimated usage of a plan. Pure.

A job's usage includes the usage of all its descendants. Otherwise a job could evade a limit by
splitting its work. A key has limits on its costs per day and on its running jobs. Days are UTC. The
costs per day are stored, and stay unchanged when old jobs are removed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, field, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Protocol

from orchestrator.core.errors import LimitReached
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import NO_USAGE, Usage
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import CapPassed
from orchestrator.core.model.job_settings import CAPS

_UNITS = {"max_steps": "steps", "max_tokens": "tokens", "max_cost_usd": "USD"}
_CAPS = {"max_steps": "step", "max_tokens": "token", "max_cost_usd": "cost"}
#: Tolerance factor, because sums of costs are not exact.
_ROUNDING = 1 + 1e-9
#: Costs of at least this many US dollars are shown with two decimal places.
_CENTS = 0.1
_COUNTED = (
    "steps",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
)

#: Fields of a usage that count for ``max_tokens``.
COUNTED_TOKENS = ("input_tokens", "cache_write_tokens", "output_tokens")

_counted_figures = attrgetter(*_COUNTED)
_NONE_KNOWN = (None,) * len(_COUNTED)


class Limited(Protocol):
    """An object with limits on usage, such as a task or job. None means no limit."""

    @property
    def max_steps(self) -> int | None: ...

    @property
    def max_tokens(self) -> int | None: ...

    @property
    def max_cost_usd(self) -> float | None: ...


@dataclass(slots=True)
class UsageSums:
    """Sums of usage: one sum for each limit on usage, such as ``max_steps``.

    Unknown usage counts as zero.
    """

    by_limit: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CAPS, 0.0))

    def change(self, before: Usage, after: Usage) -> None:
        for name, old, new in zip(CAPS, _capped_usage(before), _capped_usage(after), strict=True):
            self.by_limit[name] += new - old


class Spending:
    """Usage of each job in the unfinished job trees, including the usage of its descendants."""

    def __init__(self) -> None:
        self._spent: dict[str, UsageSums] = {}

    def change(self, line: Iterable[Job], before: Usage, after: Usage) -> None:
        """Add the change of a worker's usage to the sums of each job in ``line``.

        ``line``: the worker's job and its ancestors.
        """
        for job in line:
            self._spent.setdefault(job.id, UsageSums()).change(before, after)

    def of(self, job_id: str) -> Mapping[str, float]:
        spent = self._spent.get(job_id)
        return spent.by_limit if spent else dict.fromkeys(CAPS, 0.0)

    def forget(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            self._spent.pop(job_id, None)


def usage_sum(*usages: Usage) -> Usage:
    """Return the sum of usages, field by field.

    An unknown value counts as 0. A field of the sum is unknown only if it is unknown in all usages.
    """
    sums: dict[str, Any] = {
        name: known_sum(getattr(each, name) for each in usages) for name in _COUNTED
    }
    return Usage(
        **sums,
        cost_estimated=any(each.cost_estimated for each in usages),
        partial=any(each.partial for each in usages),
    )


def with_cost(usage: Usage, price: Callable[[Usage], float | None]) -> Usage:
    """Return ``usage``. If it has no cost, add the cost from ``price`` as an estimate.

    ``price``: returns the cost of a usage in USD; None if the cost is unknown.
    """
    cost = price(usage) if usage.cost_usd is None else None
    return usage if cost is None else replace(usage, cost_usd=cost, cost_estimated=True)


def is_known(usage: Usage) -> bool:
    return _counted_figures(usage) != _NONE_KNOWN


def usage_by_job(jobs: Iterable[Job], workers: Iterable[Worker]) -> Mapping[str, Sequence[Usage]]:
    """Return the known usages of workers, by job id.

    A job's usages are those of its own workers and of its descendants' workers. Jobs without known
    usage are omitted. ``jobs``: all jobs of the tree.
    """
    jobs_by_id = {job.id: job for job in jobs}
    usages_by_job: dict[str, list[Usage]] = {}
    for worker in workers:
        usage = worker.result.usage if worker.result else NO_USAGE
        job = jobs_by_id.get(worker.job_id) if is_known(usage) else None
        while job is not None:
            usages_by_job.setdefault(job.id, []).append(usage)
            job = jobs_by_id.get(job.parent_job_id or "")
    return usages_by_job


def usage_fields(usages: Sequence[Usage]) -> dict[str, Any]:
    """Return the sum of usages. Keys are field names of API answers and ``status.json``.

    Unknown figures are omitted. ``cost_partial`` is True if a part of the cost is unknown.
    """
    figures = {
        name: value for name, value in asdict(usage_sum(*usages)).items() if value is not False
    }
    figures = {name: value for name, value in figures.items() if value is not None}
    if "cost_usd" in figures and any(is_known(each) and each.cost_usd is None for each in usages):
        figures["cost_partial"] = True
    return figures


def reached_limit(limited: Limited, spent: Mapping[str, float]) -> str:
    """Return the name of a limit that ``spent`` has reached; "" if no limit is reached."""
    for name in CAPS:
        limit = getattr(limited, name)
        if limit is not None and spent[name] >= limit:
            return name
    return ""


def describe_reached_limit(limited: Limited, spent: Mapping[str, float]) -> str:
    """Return a limit that ``spent`` has reached, such as "max_steps (10 steps)".

    Return "" if no limit is reached.
    """
    name = reached_limit(limited, spent)
    return f"{name} ({getattr(limited, name):g} {_UNITS[name]})" if name else ""


def has_caps(limited: Limited) -> bool:
    limits = (limited.max_steps, limited.max_tokens, limited.max_cost_usd)
    return limits != (None, None, None)


def caps_of(limited: Limited) -> dict[str, float]:
    """Return the limits that are not None, by name."""
    limits = {name: getattr(limited, name) for name in CAPS}
    return {name: most for name, most in limits.items() if most is not None}


def caps_in_words(caps: Mapping[str, float]) -> str:
    """Return caps as text, such as "10 steps, $2.00"; "" if there are none."""
    units = {"max_steps": " steps", "max_tokens": " tokens"}
    return ", ".join(f"{amount(name, most)}{units.get(name, '')}" for name, most in caps.items())


def exceeded_limits(
    limited: Limited, spent: Mapping[str, float], *, at_least: bool = False
) -> tuple[CapPassed, ...]:
    """Return the limits that ``spent`` exceeds.

    ``at_least``: True if ``spent`` is a lower bound of the real usage.
    """
    caps = ((name, getattr(limited, name)) for name in CAPS)
    return tuple(
        CapPassed(limit=name, most=most, used=spent[name], at_least=at_least)
        for name, most in caps
        if most is not None and spent[name] > most * _ROUNDING
    )


def describe_exceeded(cap: CapPassed) -> str:
    """Format an exceeded limit, such as "cost cap exceeded: $1.23 of $1.00 (23 % over)"."""
    percent = max(1, round((cap.used / cap.most - 1) * 100))
    bound = "at least " if cap.at_least else ""
    used, most = (amount(cap.limit, each) for each in (cap.used, cap.most))
    return f"{_CAPS[cap.limit]} cap exceeded: {bound}{used} of {most} ({percent:,} % over)"


def amount(limit: str, value: float) -> str:
    """Format an amount of steps, tokens, or money. ``limit``: name of the limit on this amount."""
    if limit != "max_cost_usd":
        return f"{value:,.0f}"
    digits = 2 if value >= _CENTS or not value else 4 if value >= _CENTS / 100 else 6
    return f"${value:,.{digits}f}"


def is_unpriced(usage: Usage) -> bool:
    """True if a model was used, and the cost is unknown."""
    return usage.cost_usd is None and tokens(usage) > 0


def spent_by(usage: Usage) -> Mapping[str, float]:
    return dict(zip(CAPS, _capped_usage(usage), strict=True))


def tokens(usage: Usage) -> int:
    """Return the tokens that count for ``max_tokens``: output, uncached input, and cache writes.

    Cache reads do not count, because they cost a tenth of uncached input, and each step repeats
    them.
    """
    return sum(getattr(usage, name) or 0 for name in COUNTED_TOKENS)


def _capped_usage(usage: Usage) -> tuple[float, float, float]:
    return usage.steps or 0, tokens(usage), usage.cost_usd or 0.0


def known_sum(values: Iterable[float | None]) -> float | None:
    """Return the sum of the known values; None if no value is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


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
    max_workers: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReachedDailyLimit:
    """A limit on the cost per day that is reached today."""

    #: Name of the limit in ``config.yaml``.
    limit: str
    most: float
    used: float
    #: Time at which the limit resets, in seconds since the epoch.
    free_at: float

    def __str__(self) -> str:
        used, most = (amount("max_cost_usd", each) for each in (self.used, self.most))
        return f"{self.limit} ({used} of {most} used, resets at {utc(self.free_at)})"


@dataclass(kw_only=True, slots=True)
class Quotas:
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


#: Estimated tokens of one worker if no usage of its agent is known: about twenty calls of a model.
#: Most input of these calls is read from the provider's cache, and does not count.
RULE_OF_THUMB_TOKENS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Estimated usage of a plan. None means unknown."""

    workers: int
    #: Number of workers that compare candidates, in addition to ``workers``.
    reviewers: int = 0
    tokens: int
    cost_usd: float | None
    #: Tokens and cost of the reviewers, which are included in ``tokens`` and ``cost_usd``.
    review_tokens: int = 0
    review_cost_usd: float | None = 0.0
    #: Number of earlier workers from which the estimate was computed; 0 if an agent of the plan had
    #: no earlier worker.
    from_workers: int


def estimate(
    agents: Sequence[str],
    uses_model: Callable[[str], bool],
    earlier: Callable[[str], Sequence[Usage]],
    reviewers: Sequence[str] = (),
) -> Estimate:
    """Return the estimated usage of one attempt of each worker and each reviewer.

    Child jobs and retries are not included. ``agents``: agents of the workers. ``reviewers``:
    agents of the reviewers. ``uses_model``: True for an agent that uses a model. ``earlier``:
    returns the usage of an agent's earlier workers.
    """
    agents_with_model = [name for name in (*agents, *reviewers) if uses_model(name)]
    known_usages = {
        name: [each for each in earlier(name) if is_known(each)] for name in set(agents_with_model)
    }
    reviewers_with_model = [name for name in reviewers if uses_model(name)]
    complete = all(known_usages.values())
    return Estimate(
        workers=len(agents),
        reviewers=len(reviewers),
        tokens=sum(_mean_tokens(known_usages[name]) for name in agents_with_model),
        cost_usd=_total_of([_mean_cost(known_usages[name]) for name in agents_with_model]),
        review_tokens=sum(_mean_tokens(known_usages[name]) for name in reviewers_with_model),
        review_cost_usd=_total_of(
            [_mean_cost(known_usages[name]) for name in reviewers_with_model]
        ),
        from_workers=sum(map(len, known_usages.values())) if complete else 0,
    )


def _total_of(costs: Sequence[float | None]) -> float | None:
    return sum(each for each in costs if each) if None not in costs else None


def _mean_tokens(usages: Sequence[Usage]) -> int:
    if not usages:
        return RULE_OF_THUMB_TOKENS
    return round(sum(map(tokens, usages)) / len(usages))


def _mean_cost(usages: Sequence[Usage]) -> float | None:
    costs = [each.cost_usd for each in usages if each.cost_usd is not None]
    return sum(costs) / len(costs) if costs else None
