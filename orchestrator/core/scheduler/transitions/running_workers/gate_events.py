"""Events of gates: the start and end of their runs, and their results."""

from collections.abc import Sequence

from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import GateResult, GateRun
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.scheduler.state.job_trees import JobTrees

#: Maximum number of a gate's findings in its event.
MOST_FINDINGS = 10


class GateEvents:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def begun(self, key: WorkerKey, attempt: int, gates: Sequence[str], now: float) -> None:
        """Record that the gates of an attempt begin.

        Do nothing if the attempt is not the worker's current attempt.
        """
        current = self._unit_of_work.attempts.get(key)
        if current is None or current.number != attempt:
            return
        worker = self._unit_of_work.workers[key]
        if worker.status is WorkerStatus.RUNNING:
            self._unit_of_work.update_worker(key, reason=f"running gates: {', '.join(gates)}")
        job = self._trees.job_of(worker)
        payload = {"attempt": attempt, "gates": list(gates)}
        self._unit_of_work.emit(EventKind.GATES_STARTED, job, now, worker.id, **payload)

    def ran(self, run: GateRun, now: float) -> None:
        """Record the start or the end of a gate run.

        Do nothing if the run's attempt or job has ended.
        """
        job = self._unit_of_work.jobs.get(run.job_id)
        worker = self._unit_of_work.workers.get(WorkerKey(run.root_id, run.check))
        if job is None or job.status.ended:
            return
        if worker and worker.status is not WorkerStatus.RUNNING:
            return
        is_start = run.seconds is None
        if worker and is_start:
            self._unit_of_work.update_worker(worker.key, reason=f"running {run.words}")
        kind = EventKind.GATE_RUN_STARTED if is_start else EventKind.GATE_RUN_ENDED
        payload: dict[str, object] = {"gate": run.gate, "on": run.on}
        if not is_start:
            payload["seconds"] = run.seconds
        self._unit_of_work.emit(kind, job, now, worker.id if worker else None, **payload)

    def ended(
        self, key: WorkerKey, attempt: int, results: Sequence[GateResult], now: float
    ) -> None:
        worker = self._unit_of_work.workers[key]
        job = self._trees.job_of(worker)
        for result in results:
            payload = {"attempt": attempt, **_payload_of(result)}
            self._unit_of_work.emit(EventKind.GATE_ENDED, job, now, worker.id, **payload)


def _payload_of(result: GateResult) -> dict[str, object]:
    return {
        "gate": result.name,
        "status": str(result.status),
        "outcome": str(result.outcome),
        "cause": None if result.cause is None else str(result.cause),
        "required": result.required,
        "seconds": result.seconds,
        "failures": list(result.failures[:MOST_FINDINGS]),
        "known": result.known,
        "note": result.note,
        "log": result.log,
    }
