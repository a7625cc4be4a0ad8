"""Locks: claims that tasks name (``locks``), and leases that running workers acquire and release.

A claim is held from the start of a worker to its end. A lease ends with its attempt at the latest.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from orchestrator.core.events import EventKind
from orchestrator.core.locks.lock_table import LockEntry, LockKind, LockLease, Party
from orchestrator.core.model.job import Job, TaskSpec, WaitingFor, Worker, WorkerKey
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker


class TaskLocks:
    """Claims of tasks (``locks``). A worker acquires all its claims together, when it starts."""

    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._locks = trees.locks

    def lacks(self, worker: Worker, now: float) -> bool:
        """Acquire the claims of a worker whose task has locks. Return True if it has to wait."""
        # A worker keeps its claims while child jobs of its previous attempt run.
        if self._locks.holds_claim(worker.key):
            return False
        names = self._trees.task_of(worker).locks
        why = self._locks.claim(self._trees.party_of(worker), names, now)
        if why:
            waiting = WaitingFor(WaitKind.LOCK, ", ".join(names))
            self._unit_of_work.hold_worker(worker.key, waiting, why)
            return True
        self._emit(EventKind.LOCK_TAKEN, worker, names, now)
        return False

    def step_back(self, worker: Worker) -> None:
        """Let other workers acquire the claims first.

        Call this if something other than locks delays the worker's start.
        """
        self._locks.step_back(worker.key)

    def done(self, worker: Worker, now: float) -> None:
        """Release the claims of an ended worker. Idempotent."""
        self._locks.forgo(worker.key)
        self._release(worker, now)

    def begins_again(self, worker: Worker, unfinished: UnfinishedWorker, now: float) -> None:
        """Release a retried worker's claims until its next attempt.

        If child jobs of the previous attempt still run, the claims stay, because these jobs work
        under the same claims. ``children_ended`` then releases them.
        """
        if not unfinished.open_children and self._release(worker, now):
            self._expect(worker)

    def children_ended(self, worker: Worker, now: float) -> None:
        """Release the claims of a worker that waits for a retry, after its last child job."""
        if worker.status is WorkerStatus.PENDING and self._release(worker, now):
            self._expect(worker)

    def found(self, worker: Worker, unfinished: UnfinishedWorker, now: float) -> None:
        names = self._trees.task_of(worker).locks
        if names and (worker.status is not WorkerStatus.PENDING or unfinished.open_children):
            self._locks.hold_claim(self._trees.party_of(worker), names, now)

    def check(self, job: Job, tasks: Sequence[TaskSpec]) -> None:
        """Raise Deadlock if a child job would wait for a worker that waits for the child job."""
        if job.parent_key is None:
            return
        parent = self._trees.party_of(self._unit_of_work.workers[job.parent_key])
        for task in tasks:
            if task.locks:
                self._locks.check(_party_below(parent, job, task), task.locks)

    def _release(self, worker: Worker, now: float) -> bool:
        names = self._locks.release_claim(worker.key)
        if names:
            self._emit(EventKind.LOCK_RELEASED, worker, names, now)
        return bool(names)

    def _expect(self, worker: Worker) -> None:
        if not self._trees.job_of(worker).is_root:
            names = self._trees.task_of(worker).locks
            self._locks.expect(self._trees.party_of(worker), names)

    def _emit(self, kind: EventKind, worker: Worker, names: Sequence[str], now: float) -> None:
        payload = {"names": list(names), "lock": str(LockKind.CLAIM)}
        self._unit_of_work.emit(kind, self._trees.job_of(worker), now, worker.id, **payload)


def _party_below(parent: Party, job: Job, task: TaskSpec) -> Party:
    key, of_task = WorkerKey(job.root_id, f"new task {task.id}"), (job.id, task.id)
    return Party(
        key=key,
        job_id=job.id,
        line=parent.line | {key},
        tasks=parent.tasks | {of_task},
        task=of_task,
    )


#: Seconds after which a worker that waits for a lease releases its slot.
LENDS_AFTER_SECONDS = 1.0
#: Seconds for which a request keeps its place after its call was answered with "not yet".
PLACE_KEPT_SECONDS = 5.0
#: Maximum number of lock events per attempt, so that a worker that locks in a loop does not fill
#: the store.
MOST_LEASE_EVENTS = 100


class LeaseHolders(Protocol):
    def wait_for_lock(self, key: WorkerKey, names: Sequence[str], why: str, now: float) -> None: ...

    def lock_wait_over(self, key: WorkerKey) -> None: ...


class LeaseManager:
    def __init__(self, trees: JobTrees, running: LeaseHolders) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._locks = trees.locks
        self._running = running
        #: Number of lock events of each worker's present attempt.
        self._event_counts: Counter[WorkerKey] = Counter()

    def request(self, key: WorkerKey, names: Sequence[str], now: float) -> LockEntry:
        """Return the request of a running worker for leases.

        If an earlier call has queued a request for the same names, return that request.
        """
        for entry in self._locks.requests:
            if entry.key == key and entry.names == tuple(names) and entry.kept_until:
                entry.kept_until = 0.0
                return entry
        party = self._trees.party_of(self._unit_of_work.workers[key])
        return self._locks.request(party, names, now)

    def obstacle(self, entry: LockEntry) -> str:
        """Return why a request has to wait; "" if it can be granted.

        Raise Deadlock if waiting would close a cycle.
        """
        return self._locks.obstacle(entry)

    def obstacle_again(self, entry: LockEntry) -> str:
        """Return why a queued request still has to wait; "" if it can be granted."""
        return self._locks.obstacle_again(entry)

    def due(self) -> Sequence[LockEntry]:
        """Return the requests that a change of locks may have made grantable."""
        return self._locks.due_requests()

    def look_again(self) -> None:
        """Make ``due`` check all requests, because the store may now grant some of them."""
        self._locks.look_again()

    def wait(self, entry: LockEntry) -> None:
        """Queue a request. Idempotent."""
        if not entry.place:
            self._locks.enqueue(entry)

    def keep_place(self, entry: LockEntry, now: float) -> None:
        """Keep a request in the queue for a few seconds, so that its client can repeat the call."""
        if entry.place:
            entry.kept_until = now + PLACE_KEPT_SECONDS

    def withdraw(self, entry: LockEntry) -> None:
        """Remove a request that no call waits for. Idempotent."""
        self._locks.withdraw(entry)
        self._go_on(entry.key)

    def granted(self, entry: LockEntry, leases: Sequence[LockLease], now: float) -> None:
        known = self._locks.leases_of(entry.key)
        new = [each for each in leases if each.name not in known]
        self._locks.lease(entry, {each.name: each.number for each in leases}, now)
        if new:
            numbers = [each.number for each in new]
            names = [each.name for each in new]
            self._emit_event(EventKind.LOCK_TAKEN, entry.key, names, now, numbers=numbers)
        self._go_on(entry.key)

    def release_leases(
        self, key: WorkerKey, names: Iterable[str], now: float, by: str = ""
    ) -> None:
        """Record that the store has ended leases of the worker ``key``.

        ``by``: the caller that ended them; empty if the worker itself released them.
        """
        held = self._locks.leases_of(key)
        names = [name for name in names if name in held]
        self._locks.release_leases(key, names)
        if names:
            self._emit_event(EventKind.LOCK_RELEASED, key, names, now, by=by)

    def attempt_ended(self, key: WorkerKey, now: float) -> None:
        """Release the worker's leases in memory. In the store, leases end with their attempt."""
        names = self._locks.attempt_ended(key)
        if names:
            self._emit_event(EventKind.LOCK_RELEASED, key, names, now, by="")
        self._event_counts.pop(key, None)

    def found(self, lease: LockLease) -> bool:
        """Restore a stored lease after a restart. Return True if this server knows its worker."""
        worker = self._unit_of_work.workers.get(lease.key)
        if worker is None:
            return False
        party = self._trees.party_of(worker)
        entry = self._locks.request(party, (lease.name,), lease.taken_at)
        self._locks.lease(entry, {lease.name: lease.number}, lease.taken_at)
        return True

    def turn(self, now: float) -> None:
        """Drop requests that no call repeated. Release the slots of workers that wait too long."""
        for entry in list(self._locks.requests):
            if entry.kept_until and entry.kept_until <= now:
                self.withdraw(entry)
            elif entry.since + LENDS_AFTER_SECONDS <= now and self._has_slot(entry.key):
                why = self._locks.obstacle_again(entry)
                self._running.wait_for_lock(entry.key, entry.names, why, now)

    @property
    def next_time(self) -> float | None:
        """When the next turn is due even without an event; None if it needs an event."""
        if self._locks.may_grant:
            return 0.0
        due = map(self._due, self._locks.requests)
        return min((time for time in due if time is not None), default=None)

    def _due(self, entry: LockEntry) -> float | None:
        if entry.kept_until:
            return entry.kept_until
        return entry.since + LENDS_AFTER_SECONDS if self._has_slot(entry.key) else None

    def _has_slot(self, key: WorkerKey) -> bool:
        unfinished = self._trees.unfinished.get(key)
        return unfinished is not None and unfinished.has_slot

    def _go_on(self, key: WorkerKey) -> None:
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
