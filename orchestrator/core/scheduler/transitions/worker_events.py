"""Events of a running worker: its gates' runs, people's messages to it, and its leases."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.locks.lock_table import LockEntry, LockKind, LockLease
from orchestrator.core.model.gate import GateResult, GateRun
from orchestrator.core.model.human_input import (
    CANNOT_MESSAGE,
    MOST_MESSAGES,
    WorkerMessage,
    delivered,
    undelivered,
)
from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.worker_start import RunningWorkers

#: Maximum number of a gate's findings in its event.
MOST_FINDINGS = 10


class GateEvents:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def begun(self, key: WorkerKey, attempt: int, gates: Sequence[str], now: float) -> None:
        """Record that the gates of an attempt begin.

        Ignored if the attempt is not the current one.
        """
        current = self._unit_of_work.attempts.get(key)
        if current is None or current.number != attempt:
            return
        worker = self._unit_of_work.workers[key]
        if worker.status is WorkerStatus.RUNNING:
            self._unit_of_work.update_worker(key, reason=f"running gates: {', '.join(gates)}")
        job = self._trees.job_of(worker)
        payload = {"attempt": attempt, "gates": list(gates)}
        self._unit_of_work.emit(EventKind.GATES_STARTED, job, now, worker.id, **payload)

    def ran(self, run: GateRun, now: float) -> None:
        """Record the start or end of a gate run. Ignored if its attempt or job has ended since."""
        job = self._unit_of_work.jobs.get(run.job_id)
        worker = self._unit_of_work.workers.get(WorkerKey(run.root_id, run.check))
        if job is None or job.status.ended:
            return
        if worker and worker.status is not WorkerStatus.RUNNING:
            return
        begins = run.seconds is None
        if worker and begins:
            self._unit_of_work.update_worker(worker.key, reason=f"running {run.words}")
        kind = EventKind.GATE_RUN_STARTED if begins else EventKind.GATE_RUN_ENDED
        payload: dict[str, object] = {"gate": run.gate, "on": run.on}
        if not begins:
            payload["seconds"] = run.seconds
        self._unit_of_work.emit(kind, job, now, worker.id if worker else None, **payload)

    def ended(
        self, key: WorkerKey, attempt: int, results: Sequence[GateResult], now: float
    ) -> None:
        worker = self._unit_of_work.workers[key]
        job = self._trees.job_of(worker)
        for result in results:
            payload = {"attempt": attempt, **_payload_of(result)}
            self._unit_of_work.emit(EventKind.GATE_ENDED, job, now, worker.id, **payload)


def _payload_of(result: GateResult) -> dict[str, object]:
    return {
        "gate": result.name,
        "status": str(result.status),
        "outcome": str(result.outcome),
        "cause": None if result.cause is None else str(result.cause),
        "required": result.required,
        "seconds": result.seconds,
        "failures": list(result.failures[:MOST_FINDINGS]),
        "known": result.known,
        "note": result.note,
        "log": result.log,
    }


class WorkerMessages:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def send(self, key: WorkerKey, message: WorkerMessage) -> Worker:
        """Store a message.

        Idempotent by the message's id. Raise Conflict for a worker that has ended.
        """
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.status.ended:
            raise Conflict(f"{key.worker_id} has ended; nothing was sent", kind=CANNOT_MESSAGE)
        result = worker.result or WorkerResult()
        if any(each.id == message.id for each in result.messages):
            return worker
        if len(result.messages) >= MOST_MESSAGES:
            raise Conflict(
                f"{worker.id} has the maximum of {MOST_MESSAGES} messages; nothing was sent",
                kind=CANNOT_MESSAGE,
            )
        result = replace(result, messages=(*result.messages, message))
        sent = self._unit_of_work.update_worker(key, result=result)
        payload = {"by": message.by, "id": message.id, "text": message.text}
        self._emit(EventKind.WORKER_MESSAGED, sent, message.at, **payload)
        return sent

    def read(self, key: WorkerKey, attempt: int, ids: Collection[str], now: float) -> None:
        """Record that an attempt's agent has read messages. Idempotent. Ignore unknown ids."""
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.result is None or worker.attempt != attempt:
            return
        messages = worker.result.messages
        new = [each.id for each in messages if each.id in ids and each.attempt < attempt]
        if not new:
            return
        known = delivered(messages, new, attempt, now)
        worker = self._unit_of_work.update_worker(
            key, result=replace(worker.result, messages=known)
        )
        for each in new:
            payload = {"id": each, "attempt": attempt}
            self._emit(EventKind.WORKER_MESSAGE_DELIVERED, worker, now, **payload)

    def ended(self, worker: Worker, now: float) -> None:
        """Emit an event with the messages that a worker had not read when it ended."""
        messages = worker.result.messages if worker.result else ()
        for each in undelivered(messages) if messages else ():
            self._emit(EventKind.WORKER_MESSAGE_UNDELIVERED, worker, now, id=each.id)

    def _emit(self, kind: EventKind, worker: Worker, at: float, **payload: object) -> None:
        self._unit_of_work.emit(kind, self._trees.job_of(worker), at, worker.id, **payload)


#: Seconds after which a worker that waits for a lease releases its slot.
LENDS_AFTER_SECONDS = 1.0
#: Seconds for which a request keeps its place after its call was answered with "not yet".
PLACE_KEPT_SECONDS = 5.0
#: Maximum number of lock events per attempt, so that a worker that locks in a loop does not fill
#: the store.
MOST_LEASE_EVENTS = 100


class LeaseManager:
    def __init__(self, trees: JobTrees, running: RunningWorkers) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._locks = trees.locks
        self._running = running
        #: Number of lock events of each worker's present attempt.
        self._event_counts: Counter[WorkerKey] = Counter()

    def request(self, key: WorkerKey, names: Sequence[str], now: float) -> LockEntry:
        """Return a running worker's request: a new one, or the queued one from its earlier call."""
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
        """Return the requests that may be grantable, because an entry has changed since the last
        call.
        """
        return self._locks.due_requests()

    def look_again(self) -> None:
        """Make ``due`` check all requests, because the store may now grant some of them."""
        self._locks.look_again()

    def wait(self, entry: LockEntry) -> None:
        """Queue a request. Idempotent."""
        if not entry.place:
            self._locks.enqueue(entry)

    def keep_place(self, entry: LockEntry, now: float) -> None:
        """Keep the queue place of a request whose call was answered with "not yet".

        The client repeats the call soon.
        """
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

    def give_back(self, key: WorkerKey, names: Iterable[str], now: float, by: str = "") -> None:
        """Record leases that the store has ended.

        ``by``: the caller that ended them; empty if it is their holder.
        """
        held = self._locks.leases_of(key)
        names = [name for name in names if name in held]
        self._locks.give_back(key, names)
        if names:
            self._emit_event(EventKind.LOCK_RELEASED, key, names, now, by=by)

    def attempt_ended(self, key: WorkerKey, now: float) -> None:
        """Release the worker's leases. In the store, they end with their attempt."""
        names = self._locks.attempt_ended(key)
        if names:
            self._emit_event(EventKind.LOCK_RELEASED, key, names, now, by="")
        self._event_counts.pop(key, None)

    def found(self, lease: LockLease) -> bool:
        """Restore a stored lease after a restart. Return True if this server knows the lease's
        worker.
        """
        worker = self._unit_of_work.workers.get(lease.key)
        if worker is None:
            return False
        party = self._trees.party_of(worker)
        entry = self._locks.request(party, (lease.name,), lease.taken_at)
        self._locks.lease(entry, {lease.name: lease.number}, lease.taken_at)
        return True

    def turn(self, now: float) -> None:
        """Drop requests that no call repeated, and release the slots of workers that have waited
        too long.
        """
        for entry in list(self._locks.requests):
            if entry.kept_until and entry.kept_until <= now:
                self.withdraw(entry)
            elif entry.since + LENDS_AFTER_SECONDS <= now and self._has_slot(entry.key):
                why = self._locks.obstacle_again(entry)
                self._running.wait_for_lock(entry.key, entry.names, why, now)

    @property
    def next_time(self) -> float | None:
        """Return the time of the next action that needs no event."""
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
        """Resume the worker, unless it waits for another lease."""
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
