"""Turns an agent's events into the log, the usage so far, and a reason to stop the agent."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.agents.adapters.invocation.call import CallLimits
from orchestrator.agents.driver.usage_report import Telling
from orchestrator.agents.events.agent_events import (
    Asked,
    Did,
    Finished,
    Said,
    Sign,
    Spent,
    Stuck,
    Troubled,
)
from orchestrator.agents.events.transcript import Journal
from orchestrator.core.limits.budget import breach, spent_by, tokens, total
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage


def in_words(usage: Usage) -> str:
    """One line for people; what is not known is left out."""
    amounts = [
        ("steps", usage.steps),
        ("tokens in", usage.input_tokens),
        ("tokens out", usage.output_tokens),
        ("read from cache", usage.cache_read_tokens),
        ("written to cache", usage.cache_write_tokens),
    ]
    words = [f"{value} {name}" for name, value in amounts if value is not None]
    if usage.cost_usd is not None:
        words.append(f"${usage.cost_usd:.4f}{' (estimated)' if usage.cost_estimated else ''}")
    if usage.partial and words:
        words.append("and what it did not tell of")
    return ", ".join(words) or "not known"


#: Cost of a usage in USD; None where no price is known.
Price = Callable[[Usage], float | None]


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """Why an agent is to be stopped."""

    reason: ErrorClass
    because: str
    #: Seconds that it has to end by itself: the step that used up a limit may be its last.
    patience: float = 0.0


class Watchdog:
    """Takes in signs; says when it is enough."""

    def __init__(
        self, limits: CallLimits, journal: Journal, telling: Telling, price: Price
    ) -> None:
        self._limits = limits
        self._journal = journal
        self._telling = telling
        self._price = price
        self._told = Usage()
        #: Why the server has it stopped; empty: it has not.
        self._why = ""
        #: It has said its last word, and nothing since.
        self.finished = False
        #: The account's limit that it has met, and nothing since; empty for none.
        self.limited = ""
        #: The model has said or asked for something.
        self.answered = False
        #: Which limit is used up; empty while none is.
        self._used_up = ""
        #: Its latest step may be its last: it has used no tool since.
        self.may_be_done = False
        self._uses_tool = False

    def begin(self) -> None:
        """A program starts: what one before it said last says nothing of this one."""
        self.finished, self.limited = False, ""
        self.may_be_done = self._uses_tool = False

    def take(self, sign: Sign) -> EarlyStop | None:
        """Write it down and count it; a reason to stop when it goes on beyond a limit.

        A step that reaches a limit is allowed, and so is its last word; no more is.
        """
        self._journal.sign(sign)
        self.finished = isinstance(sign, Finished) or (self.finished and isinstance(sign, Spent))
        self.limited = ""
        self.answered |= _is_answer(sign)
        if isinstance(sign, Troubled) and sign.error_class is ErrorClass.RATE_LIMIT:
            self.limited = sign.text
        beyond = self._used_up and _goes_on(sign)
        self._notice(sign)
        if isinstance(sign, Spent):
            self._count(sign.usage)
        if isinstance(sign, Stuck):
            return EarlyStop(ErrorClass.API, sign.text)
        # Its step used a tool before it was known what the step cost: another step follows.
        beyond = beyond or (self._used_up and self._uses_tool and isinstance(sign, Spent))
        because = self._why or f"it has used up {self._used_up}"
        return EarlyStop(ErrorClass.LIMIT, because) if beyond else None

    def _notice(self, sign: Sign) -> None:
        begins = isinstance(sign, Spent) and bool(sign.usage.steps)
        if begins or isinstance(sign, Finished):
            self.may_be_done, self._uses_tool = True, False
        elif isinstance(sign, Did | Asked | Troubled | Stuck):
            self.may_be_done, self._uses_tool = False, isinstance(sign, Did | Asked)

    def close(self, why: str) -> None:
        """The server says that nothing more may be used. Any thread may call."""
        self._why = self._used_up = why

    def _count(self, usage: Usage) -> None:
        self._told = total(self._told, usage)
        self._telling.tell(self.usage)
        self._used_up = self._why or breach(self._limits, spent_by(self.usage))

    def waits(self) -> bool:
        """For its child jobs, or a lock: that it is silent is no sign of a hang."""
        return self._telling.waits(self.usage)

    @property
    def usage(self) -> Usage:
        """So far, with a cost of our own reckoning where it told none."""
        return priced(self._told, self._price)


def _is_answer(sign: Sign) -> bool:
    if isinstance(sign, Spent):
        return bool(tokens(sign.usage))
    return isinstance(sign, Said | Did)


def _goes_on(sign: Sign) -> bool:
    """Whether it shows that the agent is not at its end: words and sums may be the last."""
    if isinstance(sign, Spent):
        return bool(sign.usage.steps)
    return not isinstance(sign, Finished | Said)


def priced(usage: Usage, price: Price) -> Usage:
    if usage.cost_usd is not None:
        return usage
    cost = price(usage)
    return usage if cost is None else replace(usage, cost_usd=cost, cost_estimated=True)
