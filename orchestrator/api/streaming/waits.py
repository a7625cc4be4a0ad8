"""Calls that wait for the end of a job, or for leases, until they time out."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from orchestrator.api.socket_loop.response_writers import Reply
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.api.streaming.waiting_connection import WaitingConnection
from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.engine.service.service import Service
from orchestrator.engine.supervisor.lock_calls import LockCall

logger = logging.getLogger(__name__)

#: Returns the complete answer, with the job's status. Never raises. Runs in a reader thread.
ReplyFunction = Callable[[], Reply]
#: Returns the job if the wait can be answered now, otherwise None. Runs in a reader thread.
WaitCheck = Callable[[], Job | None]


class PendingWait(WaitingConnection):
    """A ``wait`` call. The answer comes after an event that ends the wait, or at the timeout."""

    def __init__(
        self,
        socket_loop: SocketLoop,
        job: Job,
        *,
        waiter: WorkerKey | None,
        seconds: float,
        check: WaitCheck,
        answer: ReplyFunction,
        stopping: Reply,
    ) -> None:
        super().__init__(socket_loop, job.root_id)
        self._job_id = job.id
        self._waiter = waiter
        self._seconds = seconds
        self._check = check
        self._answer = answer
        self._stopping = stopping
        self._checking = False
        self._check_again = False
        self._answering = False

    def begin(self) -> None:
        self._socket_loop.call_after(self._seconds, self._reply, self)
        self._check_soon()

    def concerns(self, events: Sequence[Event]) -> bool:
        return any(self._may_end_wait(event) for event in events)

    def published(self, events: Sequence[Event]) -> None:
        if self.concerns(events):
            self._check_soon()

    def beat(self) -> None:
        # Also check at each heartbeat. If an event was lost, the answer is late, but still comes.
        self._check_soon()

    def stopped(self) -> None:
        self._writer.respond(self._stopping)

    def _may_end_wait(self, event: Event) -> bool:
        if event.kind is EventKind.JOB_ENDED:
            return event.job_id == self._job_id
        # A waiting worker must acquire a slot before it gets the answer. An event of the worker
        # shows when the worker has the slot.
        return self._waiter is not None and event.worker_id == self._waiter.worker_id

    def _check_soon(self) -> None:
        if self._checking:
            self._check_again = True
            return
        self._checking, self._check_again = True, False
        self._socket_loop.read(self._check, self._after_check, self)

    def _after_check(self, future: Future[Job | None]) -> None:
        self._checking = False
        if not self._open or future.cancelled():
            return
        if future.exception() is not None or future.result() is not None:
            self._reply()  # the answer reports the error, if there is one
        elif self._check_again:
            self._check_soon()

    def _reply(self) -> None:
        if self._open and not self._answering:
            self._answering = True
            self._socket_loop.read(self._answer, self._send, self)

    def _send(self, future: Future[Reply]) -> None:
        if not self._open or future.cancelled():
            return
        if future.exception() is not None:
            logger.error("cannot answer a waiting request", exc_info=future.exception())
            self.drop()
            return
        self._writer.respond(future.result())


class PendingLock(PendingWait):
    """A call that waits for leases.

    The wait ends when the leases are rejected, or when the leases are granted and the worker has a
    slot.
    """

    def __init__(
        self,
        socket_loop: SocketLoop,
        service: Service,
        call: LockCall,
        *,
        seconds: float,
        answer: ReplyFunction,
        stopping: Reply,
    ) -> None:
        super().__init__(
            socket_loop,
            call.job,
            waiter=call.key,
            seconds=seconds,
            check=partial(_job_if_decided, service, call),
            answer=answer,
            stopping=stopping,
        )
        self._call = call
        self._drop: Callable[[], None] = partial(service.locks.drop, call)

    def begin(self) -> None:
        self._call.decision_stored.add_done_callback(self._on_decision)
        super().begin()

    def _on_decision(self, _: Future[None]) -> None:
        """Check again whether the call can be answered. Any thread may call."""
        self._socket_loop.call_soon(self._check_soon, self)

    def disconnected(self) -> None:
        # If the client's request for leases stayed in the queue, it would block other workers.
        self._socket_loop.read(self._drop, _ignore_error, self)
        super().disconnected()


def _job_if_decided(service: Service, call: LockCall) -> Job | None:
    return call.job if service.locks.can_be_answered(call) else None


def _ignore_error(future: Future[None]) -> None:
    """Ignore the error of a lock request that could not be dropped.

    The request stays until the end of the worker's attempt.
    """
