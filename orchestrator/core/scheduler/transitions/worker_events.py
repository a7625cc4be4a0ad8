"""Events of a running worker: its gates' runs, and people's messages to it."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.gate import GateResult, GateRun
from orchestrator.core.model.human_input import (
    CANNOT_MESSAGE,
    MOST_MESSAGES,
    WorkerMessage,
    delivered,
    undelivered,
)
from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.scheduler.state.job_trees import JobTrees

#: Maximum number of a gate's findings in its event.
MOST_FINDINGS = 10


class GateEvents:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def begun(self, key: WorkerKey, attempt: int, gates: Sequence[str], now: float) -> None:
        """Record that the gates of an attempt begin.

        Ignored if the attempt is not the current one.
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
        """Record the start or end of a gate run. Ignored if its attempt or job has ended since."""
        job = self._unit_of_work.jobs.get(run.job_id)
        worker = self._unit_of_work.workers.get(WorkerKey(run.root_id, run.check))
        if job is None or job.status.ended:
            return
        if worker and worker.status is not WorkerStatus.RUNNING:
            return
        begins = run.seconds is None
        if worker and begins:
            self._unit_of_work.update_worker(worker.key, reason=f"running {run.words}")
        kind = EventKind.GATE_RUN_STARTED if begins else EventKind.GATE_RUN_ENDED
        payload: dict[str, object] = {"gate": run.gate, "on": run.on}
        if not begins:
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


class WorkerMessages:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def send(self, key: WorkerKey, message: WorkerMessage) -> Worker:
        """Store a message.

        Idempotent by the message's id. Raise Conflict for a worker that has ended.
        """
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.status.ended:
            raise Conflict(f"{key.worker_id} has ended; nothing was sent", kind=CANNOT_MESSAGE)
        result = worker.result or WorkerResult()
        if any(each.id == message.id for each in result.messages):
            return worker
        if len(result.messages) >= MOST_MESSAGES:
            raise Conflict(
                f"{worker.id} has the maximum of {MOST_MESSAGES} messages; nothing was sent",
                kind=CANNOT_MESSAGE,
            )
        result = replace(result, messages=(*result.messages, message))
        sent = self._unit_of_work.update_worker(key, result=result)
        payload = {"by": message.by, "id": message.id, "text": message.text}
        self._emit(EventKind.WORKER_MESSAGED, sent, message.at, **payload)
        return sent

    def read(self, key: WorkerKey, attempt: int, ids: Collection[str], now: float) -> None:
        """Record that an attempt's agent has read messages. Idempotent. Ignore unknown ids."""
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.result is None or worker.attempt != attempt:
            return
        messages = worker.result.messages
        new = [each.id for each in messages if each.id in ids and each.attempt < attempt]
        if not new:
            return
        known = delivered(messages, new, attempt, now)
        worker = self._unit_of_work.update_worker(
            key, result=replace(worker.result, messages=known)
        )
        for each in new:
            payload = {"id": each, "attempt": attempt}
            self._emit(EventKind.WORKER_MESSAGE_DELIVERED, worker, now, **payload)

    def ended(self, worker: Worker, now: float) -> None:
        """Emit an event with the messages that a worker had not read when it ended."""
        messages = worker.result.messages if worker.result else ()
        for each in undelivered(messages) if messages else ():
            self._emit(EventKind.WORKER_MESSAGE_UNDELIVERED, worker, now, id=each.id)

    def _emit(self, kind: EventKind, worker: Worker, at: float, **payload: object) -> None:
        self._unit_of_work.emit(kind, self._trees.job_of(worker), at, worker.id, **payload)
