"""Capacity of the machines: why no more workers may start now, and memory for each worker."""

from collections.abc import Callable, Sequence

from orchestrator.core.dataclass import dataclass
from orchestrator.core.model.states import WaitKind
from orchestrator.core.scheduler.queue.placement import Machine

#: Default number of processes that may exist for each slot.
LIVE_PER_RUNNING = 4


@dataclass(frozen=True, slots=True)
class Lack:
    kind: WaitKind
    #: The shortage as a sentence with figures, for people.
    reason: str


def _nothing(agent: str) -> Lack | None:
    return None


def _no_memory(agent: str) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Capacity:
    #: Why no worker may start at all; None if workers may start.
    paused: Lack | None = None
    #: Returns why one more worker of an agent may not start; None if it may. In this case, the call
    #: counts the worker.
    lack: Callable[[str], Lack | None] = _nothing
    #: The machines of the cluster; None: workers start on the server's machine.
    machines: Sequence[Machine] | None = None
    #: Returns the memory in bytes that another machine must have for one more worker of an agent.
    memory_needed: Callable[[str], int] = _no_memory


#: Capacity without limits.
UNLIMITED = Capacity()
