"""Messages of people to a worker: stores them, and records when the worker's agent reads them."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.human_input.messages import (
    CANNOT_MESSAGE,
    MOST_MESSAGES,
    WorkerMessage,
    mark_delivered,
    undelivered,
)
from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.text.command_name import COMMAND


class WorkerMessages:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def send(self, key: WorkerKey, message: WorkerMessage) -> Worker:
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.status.ended:
            raise Conflict(
                f"cannot send a message: {key.worker_id} has ended; nothing was sent; "
                f"show its job tree: {COMMAND} status {key.root_id}",
                kind=CANNOT_MESSAGE,
            )
        result = worker.result or WorkerResult()
        if any(each.id == message.id for each in result.messages):
            return worker
        if len(result.messages) >= MOST_MESSAGES:
            raise Conflict(
                f"message limit reached: {worker.id} already has {MOST_MESSAGES} messages; "
                "nothing was sent; wait for the worker's end, then comment on its change: "
                f"{COMMAND} feedback {worker.job_id} {worker.id} --edit",
                kind=CANNOT_MESSAGE,
            )
        result = replace(result, messages=(*result.messages, message))
        sent = self._unit_of_work.update_worker(key, result=result)
        payload = {"by": message.by, "id": message.id, "text": message.text}
        self._emit(EventKind.WORKER_MESSAGED, sent, message.at, **payload)
        return sent

    def read(self, key: WorkerKey, attempt: int, ids: Collection[str], now: float) -> None:
        """Record that an attempt's agent has read messages. Unknown ids are ignored. Idempotent."""
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.result is None or worker.attempt != attempt:
            return
        messages = worker.result.messages
        new_ids = [each.id for each in messages if each.id in ids and each.attempt < attempt]
        if not new_ids:
            return
        marked = mark_delivered(messages, new_ids, attempt, now)
        worker = self._unit_of_work.update_worker(
            key, result=replace(worker.result, messages=marked)
        )
        for each in new_ids:
            payload = {"id": each, "attempt": attempt}
            self._emit(EventKind.WORKER_MESSAGE_DELIVERED, worker, now, **payload)

    def ended(self, worker: Worker, messages: Sequence[WorkerMessage], now: float) -> None:
        for each in undelivered(messages):
            self._emit(EventKind.WORKER_MESSAGE_UNDELIVERED, worker, now, id=each.id)

    def _emit(self, kind: EventKind, worker: Worker, at: float, **payload: object) -> None:
        self._unit_of_work.emit(kind, self._trees.job_of(worker), at, worker.id, **payload)
