"""Free resources of the machine, as reported to the scheduler at the beginning of a turn."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.model.states import WaitKind


@dataclass(frozen=True, slots=True)
class Lack:
    """A resource of which the machine has too little."""

    kind: WaitKind
    #: A sentence on it for people, with figures.
    reason: str


def _nothing(agent: str) -> Lack | None:
    return None


@dataclass(frozen=True, slots=True)
class Capacity:
    #: Why nothing may start at all; None when something may.
    paused: Lack | None = None
    #: Why one more worker of an agent may not start; None if it may, and then it counts.
    lack: Callable[[str], Lack | None] = _nothing


#: Room for everything.
UNLIMITED = Capacity()
