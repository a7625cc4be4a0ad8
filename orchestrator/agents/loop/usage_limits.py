"""The usage of a run, and its limits."""

from dataclasses import replace

from orchestrator.agents.catalog import prices
from orchestrator.agents.loop.settings import LoopSettings
from orchestrator.core.limits.budget import breach, spent_by, tokens, total
from orchestrator.core.model.attempt.attempt_result import Usage

#: Characters of a request that are about one token, for servers that do not count.
_CHARACTERS = 4


class UsageLimits:
    """Adds up; knows the limits."""

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._limits = settings.limits
        self.usage = Usage()
        #: Tokens for the limit: as told, or else estimated.
        self._tokens = 0

    def book(self, told: Usage, characters: int) -> Usage:
        """Take in one call's usage; what of it is new, with its cost."""
        known = tokens(told)
        silent = told.input_tokens is None or told.output_tokens is None
        self._tokens += max(known, characters // _CHARACTERS) if silent else known
        cost = cost_of(self._settings, told)
        spent = replace(
            told, steps=1, cost_usd=cost, cost_estimated=cost is not None, partial=silent
        )
        self.usage = total(self.usage, spent)
        return spent

    def lacks_some(self) -> None:
        """The model did more than it told of. Idempotent."""
        self.usage = replace(self.usage, partial=True)

    @property
    def enough(self) -> str:
        """Why no other call may be made, in words; empty when one may."""
        spent = {**spent_by(self.usage), "max_tokens": self._tokens}
        used_up = breach(self._limits, spent)
        return f"it used up {used_up} and was not done" if used_up else ""

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


def cost_of(settings: LoopSettings, usage: Usage) -> float | None:
    """USD; None where no price is known."""
    return prices.cost(settings.model, usage, settings.prices, local=settings.local)
