"""A call for leases that is answered when they are given, or when its time is over."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from orchestrator.api.hub import Hub
from orchestrator.api.pending_wait import Answering, PendingWait
from orchestrator.api.service_port import LockCall, Locks
from orchestrator.api.sinks import Reply
from orchestrator.core.model import Job


class PendingLock(PendingWait):
    """Woken by what becomes of the call, and by the worker's getting its slot back."""

    def __init__(
        self,
        hub: Hub,
        locks: Locks,
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
            check=partial(_decided, locks, call),
            answer=answer,
            stopping=stopping,
        )
        self._call = call
        self._drop: Callable[[], None] = partial(locks.lock_dropped, call)

    def begin(self) -> None:
        self._call.tell = lambda: self._hub.call_soon(self._look, self)
        super().begin()

    def gone(self) -> None:
        # Nobody hears of it any more: others must not wait for what it would be given.
        self._hub.read(self._drop, _dropped, self)
        super().gone()


def _decided(locks: Locks, call: LockCall) -> Job | None:
    return call.job if locks.lock_decided(call) else None


def _dropped(done: Future[None]) -> None:
    """Its failure leaves a request that ends with its attempt."""
