"""What is told of the gates of workers: events, and the reason of a worker whose gates run."""

from collections.abc import Sequence

from orchestrator.core.events import EventKind
from orchestrator.core.forest import Forest
from orchestrator.core.gates import GateResult
from orchestrator.core.model import WorkerKey
from orchestrator.core.states import WorkerStatus

#: Of what a gate found, so much is in its event.
MOST_TOLD = 10


class GateEvents:
    def __init__(self, forest: Forest) -> None:
        self._forest = forest
        self._ledger = forest.ledger

    def begun(self, key: WorkerKey, attempt: int, gates: Sequence[str], now: float) -> None:
        """Of an attempt that is not the current one any more nothing is told."""
        current = self._ledger.attempts.get(key)
        if current is None or current.number != attempt:
            return
        worker = self._ledger.workers[key]
        if worker.status is WorkerStatus.RUNNING:
            self._ledger.update_worker(key, reason=f"its gates run: {', '.join(gates)}")
        job = self._forest.job_of(worker)
        said = {"attempt": attempt, "gates": list(gates)}
        self._ledger.emit(EventKind.GATES_STARTED, job, now, worker.id, **said)

    def ended(
        self, key: WorkerKey, attempt: int, results: Sequence[GateResult], now: float
    ) -> None:
        worker = self._ledger.workers[key]
        job = self._forest.job_of(worker)
        for result in results:
            said = {"attempt": attempt, **told(result)}
            self._ledger.emit(EventKind.GATE_ENDED, job, now, worker.id, **said)


def told(result: GateResult) -> dict[str, object]:
    return {
        "gate": result.name,
        "status": str(result.status),
        "outcome": str(result.outcome),
        "cause": None if result.cause is None else str(result.cause),
        "required": result.required,
        "seconds": result.seconds,
        "failures": list(result.failures[:MOST_TOLD]),
        "known": result.known,
        "note": result.note,
        "log": result.log,
    }
