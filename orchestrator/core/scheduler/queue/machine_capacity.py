"""Free resources of the machine, as reported to the scheduler at the beginning of a turn."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.model.states import WaitKind


@dataclass(frozen=True, slots=True)
class Lack:
    """A resource of which the machine has too little."""

    kind: WaitKind
    #: The shortage as a sentence for people, with figures.
    reason: str


def _nothing(agent: str) -> Lack | None:
    return None


@dataclass(frozen=True, slots=True)
class Capacity:
    #: Why no worker may start at all; None if workers may start.
    paused: Lack | None = None
    #: Returns why one more worker of an agent may not start; None if it may: then the call counts
    #: it.
    lack: Callable[[str], Lack | None] = _nothing


#: Capacity without limits.
UNLIMITED = Capacity()
