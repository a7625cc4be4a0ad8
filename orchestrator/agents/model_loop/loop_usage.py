"""Counts the usage of one loop, and compares the usage with the limits."""

from dataclasses import replace

from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings
from orchestrator.agents.prices import price_table
from orchestrator.core.limits.usage_caps import describe_reached_limit, spent_by
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import tokens, usage_sum

#: Characters per token, to estimate the tokens of a server that reports none.
_CHARACTERS = 4


class LoopUsage:
    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._limits = settings.limits
        self.usage = Usage()
        #: Tokens that count toward the cap. Unreported tokens are estimated.
        self._tokens = 0

    def add(self, reported: Usage, characters: int) -> Usage:
        """Add the usage of one call. Return this usage with its cost.

        ``characters``: the length of the request, to estimate unreported tokens.
        """
        reported_tokens = tokens(reported)
        is_incomplete = reported.input_tokens is None or reported.output_tokens is None
        self._tokens += (
            max(reported_tokens, characters // _CHARACTERS) if is_incomplete else reported_tokens
        )
        cost = cost_of(self._settings, reported)
        spent = replace(
            reported, steps=1, cost_usd=cost, cost_estimated=cost is not None, partial=is_incomplete
        )
        self.usage = usage_sum(self.usage, spent)
        return spent

    def mark_incomplete(self) -> None:
        """Mark the usage as incomplete, because a call did not report its usage. Idempotent."""
        self.usage = replace(self.usage, partial=True)

    @property
    def limit_reached(self) -> str:
        """The limit that forbids a further model call, as text; "" if a call is allowed."""
        spent = {**spent_by(self.usage), "max_tokens": self._tokens}
        used_up = describe_reached_limit(self._limits, spent)
        return f"used up {used_up} before the task was done" if used_up else ""

    @property
    def next_answer_tokens(self) -> int:
        """Maximum number of tokens of the next answer."""
        most = self._settings.max_tokens
        if self._limits.max_tokens is None:
            return most
        return max(1, min(most, self._limits.max_tokens - self._tokens))

    @property
    def unpriced(self) -> bool:
        """True if there is a cost limit, but the cost of the usage is unknown."""
        return self._limits.max_cost_usd is not None and self.usage.cost_usd is None


def cost_of(settings: LoopSettings, usage: Usage) -> float | None:
    return price_table.cost(settings.model, usage, settings.prices, local=settings.local)
