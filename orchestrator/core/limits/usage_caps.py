"""Caps on the usage of jobs and tasks, and the usage that counts for them. Pure.

A job's usage includes the usage of all its descendants. Otherwise a job could evade a limit by
splitting its work.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import is_known, tokens
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import CapPassed
from orchestrator.core.model.job_settings import CAPS

_UNITS = {"max_steps": "steps", "max_tokens": "tokens", "max_cost_usd": "USD"}
_CAPS = {"max_steps": "step", "max_tokens": "token", "max_cost_usd": "cost"}
#: Tolerance factor, because sums of costs are not exact.
_ROUNDING = 1 + 1e-9
#: Costs of at least this many US dollars are shown with two decimal places.
_CENTS = 0.1


class Limited(Protocol):
    """An object with limits on usage, such as a task or job. None means no limit."""

    @property
    def max_steps(self) -> int | None: ...

    @property
    def max_tokens(self) -> int | None: ...

    @property
    def max_cost_usd(self) -> float | None: ...


@dataclass(slots=True)
class CappedUsage:
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
        self._spent: dict[str, CappedUsage] = {}

    def change(self, line: Iterable[Job], before: Usage, after: Usage) -> None:
        """Add the change of a worker's usage to the sums of each job in ``line``.

        ``line``: the worker's job and its ancestors.
        """
        for job in line:
            self._spent.setdefault(job.id, CappedUsage()).change(before, after)

    def of(self, job_id: str) -> Mapping[str, float]:
        spent = self._spent.get(job_id)
        return spent.by_limit if spent else dict.fromkeys(CAPS, 0.0)

    def forget(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            self._spent.pop(job_id, None)


def usage_by_job(jobs: Iterable[Job], workers: Iterable[Worker]) -> Mapping[str, Sequence[Usage]]:
    """Return the usages of workers, by job id. ``jobs``: all jobs of the tree.

    A job's usages are those of its own workers and of its descendants' workers. Workers without
    known usage are omitted, unless they have called a model.
    """
    jobs_by_id = {job.id: job for job in jobs}
    usages_by_job: dict[str, list[Usage]] = {}
    for worker in workers:
        usage = worker.lower_bound_of_usage
        job = jobs_by_id.get(worker.job_id) if is_known(usage) or usage.partial else None
        while job is not None:
            usages_by_job.setdefault(job.id, []).append(usage)
            job = jobs_by_id.get(job.parent_job_id or "")
    return usages_by_job


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
    return ", ".join(
        f"{amount_in_words(name, most)}{units.get(name, '')}" for name, most in caps.items()
    )


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
    used, most = (amount_in_words(cap.limit, each) for each in (cap.used, cap.most))
    return f"{_CAPS[cap.limit]} cap exceeded: {bound}{used} of {most} ({percent:,} % over)"


def amount_in_words(limit: str, value: float) -> str:
    """Format an amount of steps, tokens, or money. ``limit``: name of the limit on this amount."""
    if limit != "max_cost_usd":
        return f"{value:,.0f}"
    digits = 2 if value >= _CENTS or not value else 4 if value >= _CENTS / 100 else 6
    return f"${value:,.{digits}f}"


def spent_by(usage: Usage) -> Mapping[str, float]:
    return dict(zip(CAPS, _capped_usage(usage), strict=True))


def _capped_usage(usage: Usage) -> tuple[float, float, float]:
    return usage.steps or 0, tokens(usage), usage.cost_usd or 0.0
