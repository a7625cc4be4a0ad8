"""The use cases of locks: a worker's leases, and what people see and break of them."""

from collections.abc import Sequence

from orchestrator.core.errors import Conflict, Forbidden, NotFound
from orchestrator.core.lease import Lease
from orchestrator.core.lock_table import LockKind
from orchestrator.core.lock_view import LockView, view_of
from orchestrator.core.ports import Store
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.submission import Caller
from orchestrator.engine.access import Access
from orchestrator.engine.locking import LockCall, Locking
from orchestrator.engine.supervisor import Supervisor


class LockService:
    """Raises what the API answers; everything that changes runs in the supervisor's turn."""

    def __init__(
        self, supervisor: Supervisor, store: Store, access: Access, locking: Locking
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._access = access
        self._locking = locking

    def lock(self, caller: Caller, names: Sequence[str], *, wait: bool) -> LockCall:
        """Ask for leases for the calling worker, all or none.

        Raise Deadlock; Locked when somebody else has one and the caller does not wait; Forbidden
        for a caller that is no worker.
        """
        attempt = caller.attempt
        if attempt is None:
            raise Forbidden("leases are for workers, with their own keys; tasks name locks:")
        return self._supervisor.call(
            lambda scheduler, now: self._locking.ask(attempt, names, now, wait=wait)
        )

    def lock_decided(self, call: LockCall) -> bool:
        """Whether a call may be answered: a worker that lent its slot needs it back first."""
        return call.decided and not (
            call.failure is None and self._supervisor.waits_for_slot(call.key)
        )

    def lock_answer(self, call: LockCall, *, final: bool) -> Sequence[Lease] | None:
        """The leases; None when the caller is to ask again soon. Raise what the call came to."""
        return self._supervisor.call(
            lambda scheduler, now: self._locking.answer(call, now, final=final)
        )

    def lock_dropped(self, call: LockCall) -> None:
        """Its caller is gone."""
        self._supervisor.call(lambda scheduler, now: self._locking.drop(call, now))

    def unlock(self, caller: Caller, names: Sequence[str]) -> Sequence[str]:
        """End the caller's own leases; those of others when a person asks. All or none.

        Raise NotFound or Forbidden.
        """
        attempt = caller.attempt
        if attempt is not None:
            return self._supervisor.call(
                lambda scheduler, now: self._locking.give_back(attempt, names, now)
            )
        self._access.check_change(caller)
        leases = [lease for name in names for lease in self._breakable(caller, name)]
        self._supervisor.call(
            lambda scheduler, now: self._locking.break_leases(leases, caller.name, now)
        )
        return names

    def _breakable(self, caller: Caller, name: str) -> Sequence[Lease]:
        found = [lease for lease in self._store.leases() if lease.name == name]
        if not found:
            claimed = any(name in each.names for each in self._claims())
            if claimed:
                raise Conflict(f"{name} is claimed by a task: cancel its job to free it")
            raise NotFound(f"nobody holds a lease on {name}")
        for lease in found:
            self._access.changeable(caller, lease.job_id)
        return found

    def locks(self, caller: Caller) -> Sequence[LockView]:
        """What is held and waited for, as far as the caller sees the jobs that it belongs to."""
        found = self._supervisor.call(lambda scheduler, now: _views(scheduler))
        return [each for each in found if self._sees(caller, each)]

    def leases_on(self, name: str) -> Sequence[Lease]:
        """Of exactly this name; several when workers of one line have it."""
        return [lease for lease in self._store.leases() if lease.name == name]

    def leases(self) -> Sequence[Lease]:
        return self._store.leases()

    def _claims(self) -> Sequence[LockView]:
        found = self._supervisor.call(lambda scheduler, now: _views(scheduler))
        return [each for each in found if each.kind is LockKind.CLAIM and not each.waits]

    def _sees(self, caller: Caller, view: LockView) -> bool:
        own = caller.worker_key
        if own is not None and own == (view.root_id, view.worker_id):
            return True
        try:
            self._access.job(caller, view.job_id)
        except NotFound:
            return False
        return True


def _views(scheduler: Scheduler) -> list[LockView]:
    locks = scheduler.forest.locks
    held = [view_of(entry) for entry in (*locks.claims, *locks.leases)]
    waiting = [view_of(entry, waits=True) for entry in (*locks.claimants, *locks.requests)]
    return sorted(held, key=lambda each: each.names) + waiting
