"""What agents use, added up over a tree of jobs, and the limits on it. Pure.

A job's sum holds all its descendants, so that a limit holds however the work is split.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Protocol

from orchestrator.core.evidence import NO_USAGE, Usage
from orchestrator.core.model import BUDGET_LIMITS, Job

_UNITS = {"max_steps": "steps", "max_tokens": "tokens", "max_cost_usd": "USD"}
_COUNTED = (
    "steps",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
)

_figures_told = attrgetter(*_COUNTED)
_NONE_TOLD = (None,) * len(_COUNTED)

NOTHING = NO_USAGE


class Limited(Protocol):
    """A task or the settings of a job; None is no limit."""

    @property
    def max_steps(self) -> int | None: ...

    @property
    def max_tokens(self) -> int | None: ...

    @property
    def max_cost_usd(self) -> float | None: ...


@dataclass(slots=True)
class Spent:
    """By name of the limit that it counts for; what is not known counts as nothing here."""

    by_limit: dict[str, float] = field(default_factory=lambda: dict.fromkeys(BUDGET_LIMITS, 0.0))

    def change(self, before: Usage, after: Usage) -> None:
        for name, had, has in zip(BUDGET_LIMITS, _figures(before), _figures(after), strict=True):
            self.by_limit[name] += has - had


class Spending:
    """The sums of unfinished trees, by job."""

    def __init__(self) -> None:
        self._spent: dict[str, Spent] = {}

    def change(self, line: Iterable[Job], before: Usage, after: Usage) -> None:
        """A worker used so much more; ``line`` is its job and that one's ancestors."""
        for job in line:
            self._spent.setdefault(job.id, Spent()).change(before, after)

    def of(self, job_id: str) -> Mapping[str, float]:
        found = self._spent.get(job_id)
        return found.by_limit if found else dict.fromkeys(BUDGET_LIMITS, 0.0)

    def forget(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            self._spent.pop(job_id, None)


def total(*usages: Usage) -> Usage:
    """Their sum. A figure that none of them knows stays not known."""
    sums: dict[str, Any] = {name: _sum(getattr(each, name) for each in usages) for name in _COUNTED}
    return Usage(
        **sums,
        cost_estimated=any(each.cost_estimated for each in usages),
        partial=any(each.partial for each in usages),
    )


def is_known(usage: Usage) -> bool:
    """Whether it tells anything at all."""
    return _figures_told(usage) != _NONE_TOLD


def breach(limited: Limited, spent: Mapping[str, float]) -> str:
    """Which limit is reached, in words; empty when none is."""
    for name in BUDGET_LIMITS:
        limit = getattr(limited, name)
        if limit is not None and spent[name] >= limit:
            return f"{name} ({limit:g} {_UNITS[name]})"
    return ""


def spent_by(usage: Usage) -> Mapping[str, float]:
    return dict(zip(BUDGET_LIMITS, _figures(usage), strict=True))


def tokens(usage: Usage) -> int:
    """What ``max_tokens`` counts: read anew, written to a cache, and produced.

    Reading from a cache costs a tenth and is repeated with every step: it does not count.
    """
    return sum((usage.input_tokens or 0, usage.cache_write_tokens or 0, usage.output_tokens or 0))


def _figures(usage: Usage) -> tuple[float, float, float]:
    return usage.steps or 0, tokens(usage), usage.cost_usd or 0.0


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
