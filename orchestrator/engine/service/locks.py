"""The use cases for locks: workers acquire and release leases; people list and end leases."""

from collections.abc import Sequence

from orchestrator.core.errors import Conflict, Forbidden, NotFound
from orchestrator.core.locks.lock_table import LockKind, LockLease, LockView
from orchestrator.core.model.caller import Caller
from orchestrator.core.ports import Store
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.supervisor.lock_calls import LockCall, LockCalls
from orchestrator.engine.supervisor.supervisor import Supervisor


class LockService:
    """Implements the lock calls: workers acquire and release leases; people list and end leases.

    Changes run in the supervisor's thread, one after the other.
    """

    def __init__(
        self, supervisor: Supervisor, store: Store, access: Access, lock_calls: LockCalls
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._access = access
        self._lock_calls = lock_calls

    def lock(self, caller: Caller, names: Sequence[str], *, wait: bool) -> LockCall:
        """Request leases for the calling worker: all of them or none.

        Raise Deadlock if the request would close a cycle of waiting workers. Raise Locked if
        another worker holds one of the locks and ``wait`` is False. Raise Forbidden if the caller
        is not a worker.
        """
        attempt = caller.attempt
        if attempt is None:
            raise Forbidden(
                "only a worker, with its own key, may acquire leases; to lock names for a task, "
                "set locks in the task"
            )
        return self._supervisor.call(
            lambda scheduler, now: self._lock_calls.request(attempt, names, now, wait=wait)
        )

    def can_be_answered(self, call: LockCall) -> bool:
        """True if the lock call was granted or has failed, and can be answered now.

        If the worker released its slot during the call, a granted call is answered only when the
        worker has a slot again.
        """
        return call.is_decided and not (
            call.failure is None and self._supervisor.view.waits_for_slot(call.key)
        )

    def answer(self, call: LockCall, *, final: bool) -> Sequence[LockLease] | None:
        """Return the acquired leases; None if the call still waits.

        If the call failed, raise its error. ``final``: True to raise Locked instead of returning
        None, because the client stops waiting after this answer.
        """
        return self._supervisor.call(
            lambda scheduler, now: self._lock_calls.answer(call, now, final=final)
        )

    def drop(self, call: LockCall) -> None:
        """Release the leases of a lock call whose client disconnected before it got an answer."""
        self._supervisor.call(lambda scheduler, now: self._lock_calls.drop(call, now))

    def unlock(self, caller: Caller, names: Sequence[str]) -> Sequence[str]:
        """End the leases on ``names``: all of them or none. Return ``names``.

        A worker ends its own leases. A person ends leases of workers.

        Raise NotFound if one of the names has no lease. For a person, raise Conflict instead if a
        task claims this name. Raise Forbidden if the caller may not change the job of a lease.
        """
        attempt = caller.attempt
        if attempt is not None:
            return self._supervisor.call(
                lambda scheduler, now: self._lock_calls.release(attempt, names, now)
            )
        self._access.check_change(caller)
        leases = [lease for name in names for lease in self._leases_to_end(caller, name)]
        self._supervisor.call(
            lambda scheduler, now: self._lock_calls.break_leases(leases, caller.name, now)
        )
        return names

    def _leases_to_end(self, caller: Caller, name: str) -> Sequence[LockLease]:
        leases = self.leases_on(name)
        if not leases:
            is_claimed = any(name in each.names for each in self._claims())
            if is_claimed:
                raise Conflict(
                    f"lock {name} is claimed by a task; to release the lock, cancel the task's job"
                )
            raise NotFound(f"no lease on {name} exists; list all locks: {COMMAND} locks")
        for lease in leases:
            self._access.changeable(caller, lease.job_id)
        return leases

    def visible(self, caller: Caller) -> Sequence[LockView]:
        """Return the held and the requested locks of all jobs that the caller may see.

        A worker also sees its own locks.
        """
        locks = self._supervisor.call(lambda scheduler, now: scheduler.view.locks())
        return [each for each in locks if self._may_see(caller, each)]

    def leases_on(self, name: str) -> Sequence[LockLease]:
        """Return the leases on exactly this name. Leases on paths below or above are not included.

        There are several leases if a worker and workers of its child jobs hold the lock.
        """
        return [lease for lease in self._store.leases() if lease.name == name]

    def leases(self) -> Sequence[LockLease]:
        """Return all active leases."""
        return self._store.leases()

    def _claims(self) -> Sequence[LockView]:
        locks = self._supervisor.call(lambda scheduler, now: scheduler.view.locks())
        return [each for each in locks if each.kind is LockKind.CLAIM and not each.waits]

    def _may_see(self, caller: Caller, view: LockView) -> bool:
        caller_key = caller.worker_key
        if caller_key is not None and caller_key == (view.root_id, view.worker_id):
            return True
        try:
            self._access.job(caller, view.job_id)
        except NotFound:
            return False
        return True
