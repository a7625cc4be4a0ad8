"""A call for leases, answered when they are granted or the call times out."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from orchestrator.api.sockets.hub import Hub
from orchestrator.api.sockets.response_sinks import Reply
from orchestrator.api.streaming.job_wait import Answering, PendingWait
from orchestrator.core.model.job import Job
from orchestrator.engine.service.service import Service
from orchestrator.engine.supervisor.lease_calls import LockCall


class PendingLock(PendingWait):
    """A parked call for leases. The call's result wakes it, and so does the worker's new slot."""

    def __init__(
        self,
        hub: Hub,
        service: Service,
        call: LockCall,
        *,
        seconds: float,
        answer: Answering,
        stopping: Reply,
    ) -> None:
        super().__init__(
            hub,
            call.job,
            waiter=call.key,
            seconds=seconds,
            check=partial(_decided, service, call),
            answer=answer,
            stopping=stopping,
        )
        self._call = call
        self._drop: Callable[[], None] = partial(service.lock_dropped, call)

    def begin(self) -> None:
        self._call.tell = lambda: self._hub.call_soon(self._look, self)
        super().begin()

    def gone(self) -> None:
        # The client has disconnected: other workers must not wait for leases that it would get.
        self._hub.read(self._drop, _dropped, self)
        super().gone()


def _decided(service: Service, call: LockCall) -> Job | None:
    return call.job if service.lock_decided(call) else None


def _dropped(done: Future[None]) -> None:
    """Ignore the result of dropping a lock request.

    If dropping failed, the request remains until its attempt ends.
    """
