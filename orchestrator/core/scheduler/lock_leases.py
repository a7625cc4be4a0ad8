"""Leases: the locks that running workers acquire and release.

This module is a part of the scheduler's interface. The engine reports events of leases to this
module, and asks it which requests can be granted. The store then grants the leases. A lease ends
when its worker releases it, or when the worker's attempt ends.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from orchestrator.core.events import EventKind
from orchestrator.core.locks.lock_table import LockEntry, LockKind, LockLease
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.running_workers.worker_start import RunningWorkers

#: Seconds after which a worker that waits for a lease releases its slot.
SLOT_RELEASED_AFTER_SECONDS = 1.0
#: Seconds for which a request stays in the queue after its call has ended without a grant. To keep
#: the request, the client must repeat the call within this time.
PLACE_KEPT_SECONDS = 5.0
#: Maximum number of lock events per attempt. Otherwise, a worker could fill the store by acquiring
#: locks in a loop.
MOST_LEASE_EVENTS = 100


class LeaseManager:
    """Manages the leases of running workers.

    Only the scheduler may use ``turn``, ``next_time``, and ``attempt_ended``.
    """

    def __init__(self, trees: JobTrees, running: RunningWorkers) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._locks = trees.locks
        self._running = running
        #: Number of lock events of each worker's present attempt.
        self._event_counts: Counter[WorkerKey] = Counter()

    def request(self, key: WorkerKey, names: Sequence[str], now: float) -> LockEntry:
        """Return a new request of a running worker for leases on the locks ``names``.

        The new request is not queued yet. If an earlier call of the worker for the same names has
        ended, but its request is still queued, return that request instead.
        """
        for entry in self._locks.requests:
            if entry.key == key and entry.names == tuple(names) and entry.expires_at:
                entry.expires_at = 0.0
                return entry
        party = self._trees.party_of(self._unit_of_work.workers[key])
        return self._locks.request(party, names, now)

    def obstacle(self, entry: LockEntry) -> str:
        """Return why a request has to wait; "" if it can be granted.

        Raise Deadlock if the wait, or the grant, would close a cycle of waits.
        """
        return self._locks.obstacle(entry)

    def present_obstacle(self, entry: LockEntry) -> str:
        """Return why a queued request still has to wait; "" if it can be granted.

        Unlike ``obstacle``, do not search for deadlocks.
        """
        return self._locks.present_obstacle(entry)

    def due(self) -> Sequence[LockEntry]:
        """Return the queued requests that have a waiting call, and that no lock blocks now.

        A repeated call returns nothing until a lock changes or ``recheck_all`` is called.
        """
        return self._locks.due_requests()

    def recheck_all(self) -> None:
        """Make the next ``due`` check all queued requests, even if no lock has changed.

        Call this when the store may grant requests that it could not grant before.
        """
        self._locks.recheck_all()

    def enqueue(self, entry: LockEntry) -> None:
        """Queue a request. Idempotent."""
        if not entry.place:
            self._locks.enqueue(entry)

    def keep_place(self, entry: LockEntry, now: float) -> None:
        """Keep a request in the queue for PLACE_KEPT_SECONDS after its call has ended.

        If the worker repeats the call within this time, the request stays in the queue.
        """
        if entry.place:
            entry.expires_at = now + PLACE_KEPT_SECONDS

    def withdraw(self, entry: LockEntry) -> None:
        """Remove a request from the queue, because no call waits for it. Idempotent."""
        self._locks.withdraw(entry)
        self._end_wait_if_granted(entry.key)

    def granted(self, entry: LockEntry, leases: Sequence[LockLease], now: float) -> None:
        """Record that the store has granted a request. ``leases``: the granted leases."""
        held = self._locks.leases_of(entry.key)
        new_leases = [each for each in leases if each.name not in held]
        self._locks.record_grant(entry, {each.name: each.number for each in leases}, now)
        if new_leases:
            numbers = [each.number for each in new_leases]
            names = [each.name for each in new_leases]
            self._emit_event(EventKind.LOCK_TAKEN, entry.key, names, now, numbers=numbers)
        self._end_wait_if_granted(entry.key)

    def release_leases(
        self, key: WorkerKey, names: Iterable[str], now: float, by: str = ""
    ) -> None:
        """Record that the store has ended the leases of the worker ``key`` on ``names``.

        ``by``: the caller that ended the leases; empty if the worker itself released them.
        """
        held = self._locks.leases_of(key)
        names = [name for name in names if name in held]
        self._locks.release_leases(key, names)
        if names:
            self._emit_event(EventKind.LOCK_RELEASED, key, names, now, by=by)

    def attempt_ended(self, key: WorkerKey, now: float) -> None:
        """Remove the leases and the queued requests of an ended attempt from memory.

        The store ends the stored leases itself, when it saves the attempt's end.
        """
        names = self._locks.attempt_ended(key)
        if names:
            self._emit_event(EventKind.LOCK_RELEASED, key, names, now, by="")
        self._event_counts.pop(key, None)

    def restore_lease(self, lease: LockLease) -> bool:
        """Restore a stored lease after a restart.

        Return False, without a change, if this server does not know the lease's worker.
        """
        worker = self._unit_of_work.workers.get(lease.key)
        if worker is None:
            return False
        party = self._trees.party_of(worker)
        entry = self._locks.request(party, (lease.name,), lease.taken_at)
        self._locks.record_grant(entry, {lease.name: lease.number}, lease.taken_at)
        return True

    def turn(self, now: float) -> None:
        """Drop the queued requests whose call was not repeated within PLACE_KEPT_SECONDS.

        Also release the slot of each worker that has waited for a lease for
        SLOT_RELEASED_AFTER_SECONDS.
        """
        for entry in list(self._locks.requests):
            if entry.expires_at and entry.expires_at <= now:
                self.withdraw(entry)
            elif entry.since + SLOT_RELEASED_AFTER_SECONDS <= now and self._has_slot(entry.key):
                why = self._locks.present_obstacle(entry)
                self._running.wait_for_lock(entry.key, entry.names, why, now)

    @property
    def next_time(self) -> float | None:
        """Time of the next turn that is due without an event; None if no such turn is due."""
        if self._locks.may_grant:
            return 0.0
        due = map(self._due_time, self._locks.requests)
        return min((time for time in due if time is not None), default=None)

    def _due_time(self, entry: LockEntry) -> float | None:
        if entry.expires_at:
            return entry.expires_at
        return entry.since + SLOT_RELEASED_AFTER_SECONDS if self._has_slot(entry.key) else None

    def _has_slot(self, key: WorkerKey) -> bool:
        unfinished = self._trees.unfinished.get(key)
        return unfinished is not None and unfinished.has_slot

    def _end_wait_if_granted(self, key: WorkerKey) -> None:
        if not self._locks.waits_for_lease(key):
            self._running.lock_wait_over(key)

    def _emit_event(
        self, kind: EventKind, key: WorkerKey, names: Sequence[str], now: float, **payload: object
    ) -> None:
        self._event_counts[key] += 1
        worker = self._unit_of_work.workers.get(key)
        if worker is None or self._event_counts[key] > MOST_LEASE_EVENTS:
            return
        job = self._trees.job_of(worker)
        lease = str(LockKind.LEASE)
        self._unit_of_work.emit(kind, job, now, worker.id, names=list(names), lock=lease, **payload)
