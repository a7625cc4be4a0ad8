"""How much has ended in the last minute, and how gates ended since the server began."""

from collections import Counter, deque

from orchestrator.core.events import EventKind
from orchestrator.core.model.gate import GateOutcome
from orchestrator.core.ports import Change
from orchestrator.engine.runtime import clock

WINDOW_SECONDS = 60.0
_COUNTED = {EventKind.WORKER_ENDED: "workers_ended", EventKind.JOB_ENDED: "jobs_ended"}


class Throughput:
    """An observer; ``per_minute`` may be asked from any thread."""

    def __init__(self) -> None:
        self._ends: dict[str, deque[float]] = {name: deque() for name in _COUNTED.values()}
        self._gates: Counter[str] = Counter({str(outcome): 0 for outcome in GateOutcome})

    def __call__(self, change: Change) -> None:
        for event in change.events:
            if event.kind in _COUNTED:
                self._ends[_COUNTED[event.kind]].append(event.at)
            elif event.kind is EventKind.GATE_ENDED:
                self._gates[str(event.data["outcome"])] += 1
        self._forget(clock.now())

    def per_minute(self) -> dict[str, int]:
        since = clock.now() - WINDOW_SECONDS
        return {name: sum(at > since for at in list(ends)) for name, ends in self._ends.items()}

    def gates(self) -> dict[str, int]:
        """By outcome; of workers' results."""
        return dict(self._gates)

    def _forget(self, now: float) -> None:
        for ends in self._ends.values():
            while ends and ends[0] < now - WINDOW_SECONDS:
                ends.popleft()
