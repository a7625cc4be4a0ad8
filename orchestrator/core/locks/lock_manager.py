"""Lock manager: holders of locks, queued requests, and the order of grants. Pure.

Requests are granted in the order of arrival, with one exception. If worker A waits for worker B, a
request of A yields to a later request of B. Methods raise Deadlock if a wait would close a cycle.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count

from orchestrator.core.errors import Deadlock
from orchestrator.core.locks.deadlock import LockWait, LockWaits
from orchestrator.core.locks.lock_table import LockEntry, LockKind, LockTable, Party, overlap
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.text.formatting import listed


def describe_party(party: Party) -> str:
    return f"{party.key.worker_id} (job {party.job_id})"


def contested(entry: LockEntry, other: LockEntry) -> list[str]:
    return [name for name in entry.names if any(overlap(name, each) for each in other.names)]


def why_it_waits(entry: LockEntry, blocker: LockEntry, *, held: bool) -> str:
    names = listed(contested(entry, blocker))
    if held:
        return f"waiting for lock {names}, held by {describe_party(blocker.party)}"
    return f"waiting for lock {names}; {describe_party(blocker.party)} is ahead in the queue"


def describe_cycle(waits: Sequence[LockWait]) -> str:
    """Describe a cycle of waits as text, in the order of ``waits``."""
    return "; ".join(
        f"{describe_party(each.request.party)} needs "
        f"{listed(contested(each.request, each.blocker))}, "
        f"held by {describe_party(each.blocker.party)}"
        for each in waits
    )


class LockManager:
    def __init__(self) -> None:
        #: True once a worker has requested a lock. Until then, callers can skip all methods.
        self.is_used = False
        self._held = LockTable()
        self._queue = LockTable()
        self._waits = LockWaits(self._held, self._queue)
        self._places = count(1)
        #: Held claims, by worker.
        self._task_locks: dict[WorkerKey, LockEntry] = {}
        #: Registered claims that are not held, by worker. Such a claim may be in the queue.
        self._claimants: dict[WorkerKey, LockEntry] = {}
        #: Leases, by holder and lock name. Each lease is a separate entry.
        self._leases: dict[WorkerKey, dict[str, LockEntry]] = {}
        #: Waiting requests for leases, in order of arrival.
        self._requests: dict[LockEntry, None] = {}
        #: Key: an entry. Value: the waiting entries to check again after the key is removed.
        self._followers: dict[LockEntry, dict[LockEntry, None]] = {}
        #: Entries of child jobs that wait for an entry of another job. They are checked again after
        #: every change, because each change can allow them to pass earlier requests.
        self._always_rechecked: dict[LockEntry, None] = {}
        self._woken: list[WorkerKey] = []
        #: True if an entry has changed since requests were last checked.
        self._changed = False

    # -- claims ---------------------------------------------------------------------------------

    def expect(self, party: Party, names: Sequence[str]) -> None:
        """Register the claims that a worker will acquire when it starts.

        From this call on, the worker and its ancestors count as waiting for these locks.
        """
        self.is_used = True
        entry = _claim_entry(party, names)
        self._claimants[party.key] = entry
        self._waits.add(entry)
        self._mark_changed()

    def check(self, party: Party, names: Sequence[str]) -> None:
        """Raise Deadlock if a worker with claims on these names could never start."""
        _raise_deadlock(self._waits.cycle_of(_claim_entry(party, names)))

    def claim(self, party: Party, names: Sequence[str], now: float) -> str:
        """Acquire all ``names`` for the worker, or none.

        Return "" if acquired, otherwise the reason to wait.
        """
        self.is_used = True
        entry = self._claimants.setdefault(party.key, _claim_entry(party, names, now))
        blocker = self._blocker(entry)
        if blocker is not None:
            self._enqueue_behind(entry, blocker)
            return self._reason_to_wait(entry, blocker)
        self._leave_queue(entry)
        self._record_claim(entry, now)
        return ""

    def holds_claim(self, key: WorkerKey) -> bool:
        return key in self._task_locks

    def hold_claim(self, party: Party, names: Sequence[str], now: float) -> None:
        """Record the claims of a worker that kept running during a restart of the server."""
        self.cancel_claim(party.key)
        self._record_claim(_claim_entry(party, names), now)

    def _record_claim(self, entry: LockEntry, now: float) -> None:
        self.is_used = True
        self._claimants.pop(entry.key, None)
        entry.since = now
        self._task_locks[entry.key] = entry
        self._held.add(entry)

    def release_claim(self, key: WorkerKey) -> tuple[str, ...]:
        """Release the claims of a worker that has ended or is retried.

        Return the names of the released claims. Idempotent.
        """
        entry = self._task_locks.pop(key, None)
        if entry is None:
            return ()
        self._held.remove(entry)
        self._wake_followers(entry)
        return entry.names

    def cancel_claim(self, key: WorkerKey) -> None:
        """Remove a claim that the worker has not acquired. Idempotent.

        The claim leaves the queue, and is no longer registered (see ``expect``).
        """
        entry = self._claimants.pop(key, None)
        if entry is not None:
            self._leave_queue(entry)
            self._wake_followers(entry)

    def step_back(self, key: WorkerKey) -> None:
        """Remove a worker's claim from the queue, because another cause delays its start.

        Other requests can then pass the claim. The claim stays registered (see ``expect``).
        Idempotent.
        """
        entry = self._claimants.get(key)
        if entry is not None and entry.place:
            self._leave_queue(entry)
            self._waits.add(entry)
            self._wake_followers(entry)

    def take_woken(self) -> list[WorkerKey]:
        """Return the workers whose claims became due for another check since the previous call."""
        woken, self._woken = self._woken, []
        return woken

    # -- leases ---------------------------------------------------------------------------------

    def request(self, party: Party, names: Sequence[str], now: float) -> LockEntry:
        """Return a running worker's new request for leases on ``names``.

        The request is not in the queue yet (see ``enqueue``).
        """
        return LockEntry(party=party, kind=LockKind.LEASE, names=tuple(names), since=now)

    def obstacle(self, entry: LockEntry) -> str:
        """Return why a request has to wait; "" if it can be granted.

        Raise Deadlock if the wait, or the grant, would close a cycle of waits.
        """
        blocker = self._blocker(entry)
        if blocker is None:
            waiting = chain(self._claimants.values(), self._requests)
            _raise_deadlock(self._waits.cycle_by_grant(entry, waiting))
            return ""
        _raise_deadlock(self._waits.cycle_of(entry))
        return self._reason_to_wait(entry, blocker)

    def present_obstacle(self, entry: LockEntry) -> str:
        """Return why a request has to wait; "" if it can be granted. Never raises Deadlock."""
        blocker = self._blocker(entry)
        return self._reason_to_wait(entry, blocker) if blocker else ""

    def enqueue(self, entry: LockEntry) -> None:
        self.is_used = True
        entry.place = next(self._places)
        self._queue.add(entry)
        self._waits.add(entry)
        self._requests[entry] = None
        self._mark_changed()

    def record_grant(self, entry: LockEntry, numbers: Mapping[str, int], now: float) -> None:
        """Record that a request was granted. ``numbers``: the fencing numbers, by lock name."""
        self.is_used = True
        self.withdraw(entry)
        leases = self._leases.setdefault(entry.key, {})
        for name, number in numbers.items():
            existing = leases.get(name)
            if existing is not None:
                existing.number = number
                continue
            leases[name] = replace(entry, names=(name,), number=number, since=now, place=0)
            self._held.add(leases[name])
        self._mark_changed()

    def withdraw(self, entry: LockEntry) -> None:
        """Remove a request from the queue. Idempotent."""
        if entry in self._requests:
            del self._requests[entry]
            self._leave_queue(entry)
            self._wake_followers(entry)

    def release_leases(self, key: WorkerKey, names: Iterable[str]) -> None:
        """Release leases. Idempotent."""
        leases = self._leases.get(key, {})
        for name in names:
            if name in leases:
                entry = leases.pop(name)
                self._held.remove(entry)
                self._wake_followers(entry)
        if not leases:
            self._leases.pop(key, None)

    def attempt_ended(self, key: WorkerKey) -> tuple[str, ...]:
        """Release the leases of an attempt that has ended, and remove its queued requests.

        Return the lock names of the released leases. Idempotent.
        """
        if not self._leases and not self._requests:
            return ()
        for entry in [each for each in self._requests if each.key == key]:
            self.withdraw(entry)
        names = tuple(self._leases.get(key, ()))
        self.release_leases(key, names)
        return names

    def due_requests(self) -> list[LockEntry]:
        """Return the queued requests that can be granted, and for which a client waits.

        A repeated call returns nothing until a lock changes or ``recheck_all`` is called.
        """
        if not self._changed:
            return []
        self._changed = False
        awaited = (each for each in self._requests if not each.expires_at)
        return [each for each in awaited if self._blocker(each) is None]

    @property
    def may_grant(self) -> bool:
        """True if requests are queued, and the next call of ``due_requests`` checks them."""
        return self._changed and bool(self._requests)

    def recheck_all(self) -> None:
        """Make the next call of ``due_requests`` check all requests."""
        self._changed = True

    # -- holders --------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        others = (
            self._claimants,
            self._requests,
            self._followers,
            self._always_rechecked,
            self._waits,
        )
        return not (self._held or self._queue or any(others))

    @property
    def requests(self) -> Iterable[LockEntry]:
        return self._requests

    @property
    def claims(self) -> Iterable[LockEntry]:
        return self._task_locks.values()

    @property
    def claimants(self) -> Iterator[LockEntry]:
        """Yield the queued claims. Their workers wait only for locks."""
        return (entry for entry in self._claimants.values() if entry.place)

    def leases_of(self, key: WorkerKey) -> Mapping[str, LockEntry]:
        return self._leases.get(key, {})

    @property
    def leases(self) -> Iterator[LockEntry]:
        return chain.from_iterable(each.values() for each in self._leases.values())

    def waits_for_lease(self, key: WorkerKey) -> bool:
        return any(entry.key == key for entry in self._requests)

    # -- the queue ------------------------------------------------------------------------------

    def _blocker(self, entry: LockEntry) -> LockEntry | None:
        held = next(self._held.conflicting_with(entry), None)
        if held is not None or not self._queue:
            return held
        ahead = self._queue.ahead_of(entry)
        return next((each for each in ahead if not self._yields_to(each, entry)), None)

    def _yields_to(self, earlier: LockEntry, later: LockEntry) -> bool:
        """True if the later request may pass the earlier request.

        This is the case if the worker of the earlier request waits for the worker of the later
        request, or for one of its ancestors.
        """
        if later.kind is LockKind.CLAIM and len(later.party.line) == 1:
            # The worker of ``later`` has no ancestors. It has not started, so it holds no lock for
            # which another worker could wait.
            return False
        return bool(self._waits.shortest_chain(earlier, later.party.line, soft=True))

    def _enqueue_behind(self, entry: LockEntry, blocker: LockEntry) -> None:
        behind = blocker
        if not entry.place:
            # Wait behind the latest conflicting entry. If all entries waited behind the earliest
            # entry, each removal would wake all of them.
            behind = self._queue.latest_conflicting_with(entry) or blocker
            entry.place = next(self._places)
            self._queue.add(entry)
            self._waits.add(entry)
            self._mark_changed()
        self._followers.setdefault(behind, {})[entry] = None
        if len(entry.party.line) > 1 and behind.party.job_id != entry.party.job_id:
            self._always_rechecked[entry] = None

    def _leave_queue(self, entry: LockEntry) -> None:
        self._queue.remove(entry)
        self._waits.remove(entry)
        self._always_rechecked.pop(entry, None)
        entry.place = 0

    def _wake_followers(self, entry: LockEntry) -> None:
        for each in self._followers.pop(entry, ()):
            self._wake(each)
        self._mark_changed()

    def _mark_changed(self) -> None:
        self._changed = True
        for entry in self._always_rechecked:
            self._wake(entry)
        self._always_rechecked.clear()

    def _wake(self, entry: LockEntry) -> None:
        if self._claimants.get(entry.key) is entry:
            self._woken.append(entry.key)

    def _reason_to_wait(self, entry: LockEntry, blocker: LockEntry) -> str:
        return why_it_waits(entry, blocker, held=not blocker.place)


def _claim_entry(party: Party, names: Sequence[str], now: float = 0.0) -> LockEntry:
    return LockEntry(party=party, kind=LockKind.CLAIM, names=tuple(names), since=now)


def _raise_deadlock(waits: Sequence[LockWait]) -> None:
    if waits:
        raise Deadlock(
            f"deadlock: {describe_cycle(waits)}; "
            "release one lock, or acquire locks in another order"
        )
