"""Sums up the usage of a running program, without earlier usage of a resumed session."""

from dataclasses import field, replace
from typing import Any

from orchestrator.agents.activity.agent_events import UsageEvent
from orchestrator.agents.prices.price_table import Prices, cost
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import usage_sum, with_cost

_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
)
_ALL = ("steps", *_COUNTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """Facts that a reader gets before the run: the model, the policy, and the prices."""

    #: The requested model; a model that the program reports has priority.
    model: str = ""
    #: The agent's policy, for tools that do not report denied permissions. Empty: unknown.
    policy: str = ""
    #: Prices of the user, which have priority over ``prices.json``.
    prices: Prices = field(default_factory=dict)


def minus(total: Usage, before: Usage) -> Usage:
    """Return ``total`` minus ``before``. A negative difference becomes 0."""
    differences: dict[str, Any] = {
        name: _difference(getattr(total, name), getattr(before, name)) for name in _ALL
    }
    return replace(total, **differences)


def _difference(total: float | None, before: float | None) -> float | None:
    return None if total is None else max(total - (before or 0), type(total)(0))


def priced(usage: Usage, model: str, prices: Prices) -> Usage:
    """Return ``usage``, with an estimated cost if the usage has no cost.

    The estimate uses the price of ``model``. The cost stays unknown if the model has no price.
    """
    return with_cost(usage, lambda each: cost(model, each, prices))


class Meter:
    """Sums up the usage that an AI tool reports, and returns each increase as a UsageEvent."""

    def __init__(self) -> None:
        self.total = Usage()

    def add(self, usage: Usage) -> list[UsageEvent]:
        self.total = usage_sum(self.total, usage)
        return [UsageEvent(usage)]

    def raise_to(self, total: Usage) -> list[UsageEvent]:
        """Raise each value of the usage to the value in ``total``; lower no value.

        Return the increase as one event; [] if no value has increased.
        """
        increase = minus(total, self.total)
        return self.add(increase) if any(getattr(increase, name) for name in _ALL) else []


class Steps:
    """Counts the model calls of a program that does not report this number.

    A call begins with the model's first output, and ends with the next tool result.
    """

    def __init__(self) -> None:
        self.count = 0
        self._open = False

    def count_output(self) -> list[Usage]:
        """Record output of the model.

        Return one step for the first output of a model call, and [] for its later outputs.
        """
        if self._open:
            return []
        self._open = True
        self.count += 1
        return [Usage(steps=1)]

    def end_call(self) -> None:
        """End the current call after a tool result. The next output begins a new call."""
        self._open = False
