"""What a run has used, and whether it may go on."""

from dataclasses import fields, replace
from importlib import import_module
from typing import Any

from orchestrator.agents.models.settings import Settings
from orchestrator.core.model import Usage

_KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_FLAGS = ("cost_estimated", "partial")
_AMOUNTS = tuple(each.name for each in fields(Usage) if each.name not in _FLAGS)
#: Characters of a request that are about one token, for servers that do not count.
_CHARACTERS = 4


class Ledger:
    """Adds up; knows the limits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = settings.limits
        self.usage = Usage()
        #: Tokens for the limit: as told, or else estimated.
        self._tokens = 0

    def book(self, told: Usage, characters: int) -> Usage:
        """Take in one call's usage; what of it is new, with its cost."""
        known = sum(getattr(told, kind) or 0 for kind in _KINDS)
        silent = told.input_tokens is None or told.output_tokens is None
        self._tokens += max(known, characters // _CHARACTERS) if silent else known
        cost = cost_of(self._settings, told)
        spent = replace(
            told, steps=1, cost_usd=cost, cost_estimated=cost is not None, partial=silent
        )
        self.usage = _added(self.usage, spent)
        return spent

    @property
    def enough(self) -> str:
        """Why no other call may be made, in words; empty when one may."""
        limits, usage = self._limits, self.usage
        if (usage.steps or 0) >= limits.max_steps:
            return f"it made max_steps={limits.max_steps} calls of the model and was not done"
        if limits.max_tokens is not None and self._tokens >= limits.max_tokens:
            return f"it used {self._tokens} of max_tokens={limits.max_tokens} and was not done"
        cost = usage.cost_usd or 0.0
        if limits.max_cost_usd is not None and cost >= limits.max_cost_usd:
            return f"it used ${cost:.4f} of max_cost_usd={limits.max_cost_usd:g} and was not done"
        return ""

    @property
    def next_answer(self) -> int:
        """How many tokens the next answer may have."""
        most = self._settings.max_tokens
        if self._limits.max_tokens is None:
            return most
        return max(1, min(most, self._limits.max_tokens - self._tokens))

    @property
    def unpriced(self) -> bool:
        """There is a limit on money, and what was used has no known price."""
        return self._limits.max_cost_usd is not None and self.usage.cost_usd is None


def cost_of(settings: Settings, usage: Usage) -> float | None:
    """USD; None where no price is known."""
    try:
        prices = import_module("orchestrator.agents.prices")
    except ImportError:
        return None
    cost: float | None = prices.cost(settings.model, usage, settings.prices)
    return cost


def _added(total: Usage, more: Usage) -> Usage:
    """The sum; what neither knows stays not known."""
    amounts: dict[str, Any] = {
        name: _sum(getattr(total, name), getattr(more, name)) for name in _AMOUNTS
    }
    flags: dict[str, Any] = {name: getattr(total, name) or getattr(more, name) for name in _FLAGS}
    return replace(total, **amounts, **flags)


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other
