"""What is told of the gates of workers: events, and the reason of a worker whose gates run."""

from collections.abc import Sequence

from orchestrator.core.events import EventKind
from orchestrator.core.forest import Forest
from orchestrator.core.gates import GateResult, GateRun
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

    def ran(self, run: GateRun, now: float) -> None:
        """A run begins or has ended; nothing is told of what has ended as a whole meanwhile."""
        job = self._ledger.jobs.get(run.job_id)
        worker = self._ledger.workers.get(WorkerKey(run.root_id, run.check))
        if job is None or job.status.ended:
            return
        if worker and worker.status is not WorkerStatus.RUNNING:
            return
        begins = run.seconds is None
        if worker and begins:
            self._ledger.update_worker(worker.key, reason=f"its gates run: {run.words}")
        kind = EventKind.GATE_RUN_STARTED if begins else EventKind.GATE_RUN_ENDED
        said: dict[str, object] = {"gate": run.gate, "on": run.on}
        if not begins:
            said["seconds"] = run.seconds
        self._ledger.emit(kind, job, now, worker.id if worker else None, **said)

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
