"""A story whose workers acquire and release leases, as the engine does for workers."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from orchestrator.core.errors import Deadlock
from orchestrator.core.locks.lock_table import LockEntry, LockLease, overlap
from orchestrator.core.model.job import Attempt, Worker, WorkerKey
from orchestrator.core.model.states import WorkerStatus
from tests.unit.core.story import Story


class LockStory(Story):
    def __init__(self, **limits: Any) -> None:
        #: The store's leases by worker and name.
        self.leases: dict[tuple[WorkerKey, str], LockLease] = {}
        self._numbers = count(1)
        super().__init__(**limits)

    def requests_lock(self, key: WorkerKey, *names: str) -> bool:
        """Request a lock for a running worker. Return True if it is granted at once.

        Otherwise the worker waits. Raise Deadlock.
        """
        leases = self.scheduler.leases
        entry = leases.request(key, names, self.now)
        if leases.obstacle(entry):
            leases.enqueue(entry)
        else:
            self._grant(entry)
        self.turn()
        return not entry.place

    def releases(self, key: WorkerKey, *names: str) -> None:
        for name in names:
            self.leases.pop((key, name), None)
        self.scheduler.leases.release_leases(key, names, self.now)
        self.turn()

    def crash(self, *, turn: bool = True) -> Sequence[Attempt]:
        unknown = super().crash(turn=False)
        running = {attempt.key for attempt in self.store.running}
        self.leases = {at: lease for at, lease in self.leases.items() if at[0] in running}
        for lease in self.leases.values():
            assert self.scheduler.leases.restore_lease(lease)
        if turn:
            self.turn()
        return unknown

    def _one_turn(self) -> None:
        while due := self.scheduler.leases.due():
            self._decide(due[0])
        super()._one_turn()
        running = {attempt.key for attempt in self.store.running}
        self.leases = {at: lease for at, lease in self.leases.items() if at[0] in running}

    def _decide(self, entry: LockEntry) -> None:
        """Decide a waiting request.

        The grant may cause a deadlock, although the request itself caused none.
        """
        try:
            assert not self.scheduler.leases.obstacle(entry)
        except Deadlock:
            self.scheduler.leases.withdraw(entry)
        else:
            self._grant(entry)

    def _grant(self, entry: LockEntry) -> None:
        worker, number = self.scheduler.view.workers[entry.key], next(self._numbers)
        leases = [
            LockLease(
                name=name,
                number=number,
                root_id=worker.root_id,
                job_id=worker.job_id,
                worker_id=worker.id,
                attempt=worker.attempt,
                taken_at=self.now,
            )
            for name in entry.names
        ]
        self.leases.update(((entry.key, each.name), each) for each in leases)
        self.scheduler.leases.granted(entry, leases, self.now)

    def _waits(self, key: WorkerKey) -> bool:
        return super()._waits(key) or self.scheduler._trees.locks.waits_for_lease(key)

    # Invariants, checked with the content of the store

    def check_nothing_is_held_twice(self) -> None:
        held = self._held()
        for at, (one, name, claimed) in enumerate(held):
            for other, its_name, also_claimed in held[at + 1 :]:
                if overlap(name, its_name):
                    related = self._works_for(one, other, also_claimed) or self._works_for(
                        other, one, claimed
                    )
                    assert related, f"{one.id} and {other.id} both hold {name} / {its_name}"

    def _held(self) -> list[tuple[Worker, str, bool]]:
        claimed = [
            (worker, name, True)
            for worker in self.store.workers.values()
            if worker.status in (WorkerStatus.RUNNING, WorkerStatus.WAITING)
            and not worker.is_planner
            for name in self._task_locks(worker)
        ]
        return claimed + [(self.worker(key), name, False) for key, name in self.leases]

    def _task_locks(self, worker: Worker) -> Sequence[str]:
        tasks = self.store.tasks[worker.job_id]
        return next(task.locks for task in tasks if task.id == worker.task_id)

    def _works_for(self, below: Worker, above: Worker, claimed: bool) -> bool:
        """True if one worker is the other, or is its descendant.

        With ``claimed``, also true if it works for the task that has the claim.
        """
        line = [below]
        while (parent := self.job(line[-1].job_id).parent_key) is not None:
            line.append(self.worker(parent))
        if above in line:
            return True
        task = (above.job_id, above.task_id)
        return claimed and any((each.job_id, each.task_id) == task for each in line)
