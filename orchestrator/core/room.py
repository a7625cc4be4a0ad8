"""What the machine has room for, as the scheduler is told at the beginning of a turn."""

from collections.abc import Callable
from dataclasses import dataclass


def _anything(agent: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Room:
    #: Why nothing may start at all, in words; empty when something may.
    paused: str = ""
    #: Why one more worker of an agent may not start; empty when it may, and then it counts.
    lack: Callable[[str], str] = _anything


#: Room for everything.
AMPLE = Room()
