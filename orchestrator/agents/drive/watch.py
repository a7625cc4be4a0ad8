"""What is made of an agent's signs while it works: the log, the sums, the reasons to stop it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.agents.drive import tally
from orchestrator.agents.drive.journal import Journal
from orchestrator.agents.drive.signs import Finished, Sign, Spent
from orchestrator.agents.drive.telling import Telling
from orchestrator.agents.tools.call import Limits
from orchestrator.core.model import ErrorClass, Usage

#: Cost of a usage in USD; None where no price is known.
Price = Callable[[Usage], float | None]


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an agent is to be stopped."""

    reason: ErrorClass
    because: str


class Watch:
    """Takes in signs; says when it is enough."""

    def __init__(self, limits: Limits, journal: Journal, telling: Telling, price: Price) -> None:
        self._limits = limits
        self._journal = journal
        self._telling = telling
        self._price = price
        self._told = Usage()
        self.finished = False

    def take(self, sign: Sign) -> Stop | None:
        """Write it down and count it; a reason to stop when it went over a limit."""
        self._journal.sign(sign)
        # What comes after the last word takes it back.
        self.finished = isinstance(sign, Finished) or (self.finished and isinstance(sign, Spent))
        if not isinstance(sign, Spent):
            return None
        self._told = tally.added(self._told, sign.usage)
        usage = self.usage
        self._telling.tell(usage)
        over = tally.over(self._limits, usage)
        return Stop(ErrorClass.LIMIT, over) if over else None

    @property
    def usage(self) -> Usage:
        """So far, with a cost of our own reckoning where it told none."""
        return priced(self._told, self._price)


def priced(usage: Usage, price: Price) -> Usage:
    if usage.cost_usd is not None:
        return usage
    cost = price(usage)
    return usage if cost is None else replace(usage, cost_usd=cost, cost_estimated=True)
