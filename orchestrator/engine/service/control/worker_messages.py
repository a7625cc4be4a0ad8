"""The use cases for messages to running workers."""

import logging
from collections.abc import Callable, Iterable
from shlex import quote
from typing import Protocol

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, InvalidRequest
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.messages import CANNOT_MESSAGE, WorkerMessage
from orchestrator.core.model.job import Attempt, Job, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.ports import Store, Workspace
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.supervisor.supervisor import Supervisor

logger = logging.getLogger(__name__)

_AT_WORK = (WorkerStatus.RUNNING, WorkerStatus.WAITING)


class ReadsMessages(Protocol):
    """A function that returns True if an agent reads messages while it works."""

    def __call__(self, name: str, *, windows: bool) -> bool: ...


class WorkerMessageCalls:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        access: Access,
        store: Store,
        workspace: Workspace,
        reads_messages: ReadsMessages,
        copy_to_node: Callable[[Worker, str], None],
    ) -> None:
        """``copy_to_node``: copies a file of a running worker to the worker's node, if necessary.

        The function does not block. The function raises OSError if the file cannot be read.
        """
        self._supervisor = supervisor
        self._access = access
        self._store = store
        self._workspace = workspace
        self._reads_messages = reads_messages
        self._copy_to_node = copy_to_node

    def message(
        self, caller: Caller, job_id: str, worker_id: str, text: str, message_id: str
    ) -> WorkerMessage:
        """Send a message to a worker that has not ended.

        The worker's agent reads the message before its next step. ``message_id``: a UUID.
        Idempotent for the same id, even after the worker's end.

        Raise InvalidRequest if an earlier message with this id has another text. Raise Forbidden if
        the caller is a worker. Raise Conflict if the worker has ended, or its agent reads no
        messages.
        """
        job = self._access.changeable(caller, job_id)
        self._access.check_person(caller)
        worker = self._access.worker(caller, job_id, worker_id)
        earlier_message = _message_with_id(worker, message_id, text)
        if earlier_message is not None:
            return earlier_message
        self._check_reads(job, worker)

        def action(scheduler: Scheduler, now: float) -> Worker:
            message = WorkerMessage(id=message_id, at=now, by=caller.name, text=text)
            return scheduler.message(worker.key, message)

        updated_worker = self._supervisor.call(action)
        failpoints.reached("message: stored")
        self._write_messages(updated_worker)
        stored_message = _message_with_id(updated_worker, message_id, text)
        assert stored_message is not None, "the action has stored the message"
        return stored_message

    def reads_messages(self, job: Job, worker: Worker) -> bool:
        windows = job.config.execution_mode == "windows"
        return not worker.is_adviser and self._reads_messages(worker.agent, windows=windows)

    def _check_reads(self, job: Job, worker: Worker) -> None:
        if worker.status.ended:
            why = f"{worker.id} has ended ({worker.status})"
        elif self.reads_messages(job, worker):
            return
        else:
            why = f"agent {worker.agent!r} of {worker.id} reads no messages while it works"
        if worker.is_question and not worker.status.ended:
            answer = f"{COMMAND} approve {job.id} {quote(worker.task_id)}"
            raise Conflict(
                f"{worker.id} asks a person, and reads no messages; nothing was sent; "
                f"answer the question: {answer}",
                kind=CANNOT_MESSAGE,
            )
        cancel = f"cancel the worker: {COMMAND} cancel {job.id} {worker.id}"
        steps = [] if worker.status.ended else [cancel]
        if worker.is_question or self._runs_command(worker):
            steps.append(f'submit the wanted change as a new request: {COMMAND} submit "..."')
        else:
            steps.append(f"comment on its change: {COMMAND} feedback {job.id} {worker.id} --edit")
        raise Conflict(f"{why}; nothing was sent; {'; then '.join(steps)}", kind=CANNOT_MESSAGE)

    def _runs_command(self, worker: Worker) -> bool:
        tasks = self._store.tasks(worker.job_id)
        return any(each.id == worker.task_id and each.command is not None for each in tasks)

    def _write_messages(self, worker: Worker) -> None:
        """Write a running worker's messages to the directory from which its driver reads them.

        Errors are only logged, because the next attempt or the next server writes the messages
        again.
        """
        if worker.status not in _AT_WORK or worker.result is None:
            return
        for message in worker.result.messages:
            if message.attempt < worker.attempt:
                try:
                    path = self._workspace.write_message(worker, message)
                    if path:
                        self._copy_to_node(worker, path)
                except OSError as error:
                    payload = {"job_id": worker.job_id, "worker": worker.id}
                    logger.warning("cannot send a message to a worker: %s", error, extra=payload)

    def rewrite_messages(self, attempts: Iterable[Attempt]) -> None:
        """Write the messages for the workers of ``attempts`` again, for example after a crash.

        If a message cannot be written, only log the error.
        """
        for attempt in attempts:
            worker = self._store.worker(attempt.key)
            if worker is not None:
                self._write_messages(worker)


def _message_with_id(worker: Worker, message_id: str, text: str) -> WorkerMessage | None:
    """Return the worker's message with this id; None if there is no such message.

    Raise InvalidRequest if the message has another text.
    """
    messages = worker.result.messages if worker.result else ()
    message = next((each for each in messages if each.id == message_id), None)
    if message is not None and message.text != text:
        raise InvalidRequest(
            f"Idempotency-Key was already used for another message to {worker.id}; nothing was "
            "sent; use a new key",
            kind="idempotency-mismatch",
        )
    return message
