"""Sums of usage, and prices of usage without a cost. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any

from orchestrator.core.model.attempt.attempt_result import Usage

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


def usage_fields(usages: Sequence[Usage]) -> dict[str, Any]:
    """Return the sum of usages. Keys are field names of API answers and ``status.json``.

    Unknown figures are omitted. ``cost_partial`` is True if a part of the cost is unknown. The
    result is {} if no figure is known.
    """
    if not any(map(is_known, usages)):
        return {}
    figures = {
        name: value for name, value in asdict(usage_sum(*usages)).items() if value is not False
    }
    figures = {name: value for name, value in figures.items() if value is not None}
    has_gap = any(each.cost_usd is None and (is_known(each) or each.partial) for each in usages)
    if "cost_usd" in figures and has_gap:
        figures["cost_partial"] = True
    return figures


def is_unpriced(usage: Usage) -> bool:
    """True if a model was used, and the cost is unknown."""
    return usage.cost_usd is None and tokens(usage) > 0


def tokens(usage: Usage) -> int:
    """Return the tokens that count for ``max_tokens``: output, uncached input, and cache writes.

    Cache reads do not count, because they cost a tenth of uncached input, and each step repeats
    them.
    """
    return sum(getattr(usage, name) or 0 for name in COUNTED_TOKENS)


def known_sum(values: Iterable[float | None]) -> float | None:
    """Return the sum of the known values; None if no value is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
