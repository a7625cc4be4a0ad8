"""Counters of the server: ends in the last minute, and outcomes of gates since the start."""

from collections import Counter, deque

from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import GateOutcome
from orchestrator.core.ports import StateChange
from orchestrator.engine.runtime import clock

_WINDOW_SECONDS = 60.0
#: Kinds of events that ``Throughput`` counts, with the names of their counts.
_COUNTED = {EventKind.WORKER_ENDED: "workers_ended", EventKind.JOB_ENDED: "jobs_ended"}


class Throughput:
    """Counts workers that ended in the last minute, and gate outcomes since the server's start.

    The object is an observer of stored changes. Any thread may call ``per_minute``.
    """

    def __init__(self) -> None:
        self._ends: dict[str, deque[float]] = {name: deque() for name in _COUNTED.values()}
        self._gates: Counter[str] = Counter({str(outcome): 0 for outcome in GateOutcome})

    def __call__(self, change: StateChange) -> None:
        for event in change.events:
            if event.kind in _COUNTED:
                self._ends[_COUNTED[event.kind]].append(event.at)
            elif event.kind is EventKind.GATE_ENDED:
                self._gates[str(event.data["outcome"])] += 1
        self._drop_old_ends(clock.now())

    def per_minute(self) -> dict[str, int]:
        since = clock.now() - _WINDOW_SECONDS
        return {name: sum(at > since for at in list(ends)) for name, ends in self._ends.items()}

    def gates(self) -> dict[str, int]:
        return dict(self._gates)

    def _drop_old_ends(self, now: float) -> None:
        for ends in self._ends.values():
            while ends and ends[0] < now - _WINDOW_SECONDS:
                ends.popleft()
