"""Lock calls: API calls by which workers request leases.

The scheduler decides the order of the calls. The store grants or rejects each lease, because
several servers may share a store. Only the supervisor's thread may use this module.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import field
from functools import partial

from orchestrator.core.errors import (
    Deadlock,
    Locked,
    NotFound,
    OrchestratorError,
    StoreError,
    Unauthorized,
)
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.locks.lock_table import LockEntry, LockLease
from orchestrator.core.model.job import Attempt, Job, WorkerKey
from orchestrator.core.ports import Store
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import listed

logger = logging.getLogger(__name__)

#: Seconds until the server retries a request to the store, for a lock that a worker of another
#: server holds.
RETRY_SECONDS = 1.0


@dataclass(eq=False, kw_only=True, slots=True)
class LockCall:
    """One API call by which a worker requests leases, and the call's state."""

    entry: LockEntry
    attempt: Attempt
    #: The caller's job.
    job: Job
    leases: Sequence[LockLease] | None = None
    failure: OrchestratorError | None = None
    #: Why the call waits, as text; empty if the call does not wait.
    why: str = ""
    #: True if the client got an answer, even if the answer only says that the call still waits.
    is_answered: bool = False
    #: Names on which the worker held leases before the call.
    names_before: frozenset[str]
    #: Future that completes when the decision on a waiting call is stored: granted or failed. For a
    #: call that is granted at once, the future never completes.
    decision_stored: Future[None] = field(default_factory=Future)

    @property
    def key(self) -> WorkerKey:
        return self.entry.key

    @property
    def is_decided(self) -> bool:
        """True if the leases were granted, or the call has failed."""
        return self.leases is not None or self.failure is not None


class LockCalls:
    def __init__(self, scheduler: Scheduler, store: Store) -> None:
        self._scheduler = scheduler
        self._store = store
        #: Waiting calls, by lock entry. Other classes may only read this field.
        self.waiting: dict[LockEntry, LockCall] = {}
        #: Unix time of the next request to the store; None if all blocking locks belong to workers
        #: of this server. Other classes may only read this field.
        self.retry_at: float | None = None

    def restore(self) -> None:
        """Restore the active leases after a restart. Raise StoreError if the store fails."""
        for lease in self._store.leases():
            self._scheduler.leases.restore_lease(lease)

    def request(
        self, attempt: Attempt, names: Sequence[str], now: float, *, wait: bool
    ) -> LockCall:
        """Request leases for an attempt, and return the call.

        If the leases are granted at once, the call has them. Otherwise, the call waits.

        Raise Deadlock if the wait would close a cycle. Raise Locked if another worker holds a lock
        and ``wait`` is False. Raise Unauthorized if the attempt has ended. Raise StoreError if the
        leases cannot be stored.
        """
        self._scheduler.view.check_current(attempt)
        worker, leases = attempt.key, self._scheduler.leases
        call = LockCall(
            entry=leases.request(worker, names, now),
            attempt=attempt,
            job=self._scheduler.view.jobs[attempt.job_id],
            names_before=frozenset(self._scheduler.view.leases_of(worker)),
        )
        self._decide(call, now)
        if call.failure is not None:
            raise call.failure
        if call.leases is None:
            if not wait:
                leases.withdraw(call.entry)
                blocking = call.why.removeprefix("waiting for ")
                raise Locked(
                    f"lock request not granted: {blocking}; "
                    "to wait: --wait SECONDS (in the API: the field wait)"
                )
            leases.enqueue(call.entry)
            self.waiting[call.entry] = call
        return call

    def answer(self, call: LockCall, now: float, *, final: bool) -> Sequence[LockLease] | None:
        """Return the leases of a lock call; None if the client must ask again.

        After the answer None, the lock call keeps its place in the queue for some seconds. If the
        call failed, raise its error. If ``final`` is True, never return None: withdraw the call,
        and raise Locked.
        """
        call.is_answered = True
        if call.failure is not None:
            raise call.failure
        if call.leases is not None:
            return call.leases
        if not final:
            self._scheduler.leases.keep_place(call.entry, now)
            return None
        why = self._scheduler.leases.present_obstacle(call.entry) or call.why
        self._withdraw(call)
        raise Locked(f"timed out {why}")

    def drop(self, call: LockCall, now: float) -> None:
        """Release the leases of a call whose client disconnected before it got an answer.

        Leases that the worker already held before the call stay active.
        """
        if call.is_answered:
            return
        self._withdraw(call)
        new_names = [
            lease.name for lease in call.leases or () if lease.name not in call.names_before
        ]
        if new_names and self._scheduler.view.is_current(call.attempt):
            self._store.end_leases(call.key, new_names)
            self._scheduler.leases.release_leases(call.key, new_names, now)

    def release(self, attempt: Attempt, names: Sequence[str], now: float) -> Sequence[str]:
        """Release the attempt's leases on ``names``, and return ``names``.

        If the attempt has no lease on one of the names, release nothing and raise NotFound.
        """
        self._scheduler.view.check_current(attempt)
        key = attempt.key
        # Accept a lease that only the store or only the scheduler still has. Then both remove the
        # lease.
        held_names = {each.name for each in self._store.leases() if each.key == key}
        held_names.update(self._scheduler.view.leases_of(key))
        missing_names = [name for name in names if name not in held_names]
        if missing_names:
            raise NotFound(
                f"{key.worker_id} holds no lease on {listed(missing_names)}; list all locks: "
                f"{COMMAND} locks"
            )
        self._end_leases(key, names, "", now)
        return names

    def break_leases(self, leases: Sequence[LockLease], by: str, now: float) -> None:
        for lease in leases:
            self._end_leases(lease.key, [lease.name], by, now)

    def turn(self, now: float) -> list[Callable[[], None]]:
        """Grant free locks to waiting calls.

        Return functions that notify the clients. Call these functions after the state is stored.
        """
        if self.retry_at is not None and self.retry_at <= now:
            self.retry_at = None
            self._scheduler.leases.recheck_all()
        while self._decide_due_calls(now):
            pass
        for call in self.waiting.values():
            if not call.is_decided and not self._scheduler.view.is_current(call.attempt):
                call.failure = Unauthorized("the attempt that requested the lock has ended")
        decided = [call for call in self.waiting.values() if call.is_decided]
        for call in decided:
            del self.waiting[call.entry]
        return [partial(call.decision_stored.set_result, None) for call in decided]

    def _decide_due_calls(self, now: float) -> bool:
        due = [self.waiting[each] for each in self._scheduler.leases.due() if each in self.waiting]
        for call in due:
            try:
                self._decide(call, now)
            except StoreError:
                # Keep this call waiting, and continue with the other calls.
                logger.exception("cannot store a lease")
                self.retry_at = now + RETRY_SECONDS
        return any(call.is_decided for call in due)

    def _decide(self, call: LockCall, now: float) -> None:
        """Grant the call's leases if all locks are free. Otherwise, set ``call.why``.

        Exception: if waiting would close a cycle of waiting workers, set only ``call.failure``.
        Raise StoreError if the leases cannot be stored.
        """
        leases = self._scheduler.leases
        try:
            call.why = leases.obstacle(call.entry)
        except Deadlock as error:
            leases.withdraw(call.entry)
            call.failure = error
            return
        if not call.why:
            self._take_leases(call, now)

    def _take_leases(self, call: LockCall, now: float) -> None:
        grant = self._store.take_leases(call.attempt, call.entry.names, now)
        if grant.blocked_by:
            blocker = grant.blocked_by[0]
            call.why = (
                f"waiting for lock {blocker.name}, held by {blocker.worker_id} "
                f"(job {blocker.job_id})"
            )
            self.retry_at = now + RETRY_SECONDS
        else:
            call.leases = grant.leases
            self._scheduler.leases.granted(call.entry, grant.leases, now)

    def _withdraw(self, call: LockCall) -> None:
        self.waiting.pop(call.entry, None)
        self._scheduler.leases.withdraw(call.entry)

    def _end_leases(self, key: WorkerKey, names: Sequence[str], by: str, now: float) -> None:
        self._store.end_leases(key, names)
        self._scheduler.leases.release_leases(key, names, now, by)
