"""The queue of workers that can start or resume, and of workers whose start is delayed."""

import heapq
from collections.abc import Callable, Iterator
from itertools import count

from orchestrator.core.model.job import Job, WorkerKey

#: Place of a worker among its job's workers. Lower values start first.
Order = tuple[float, ...]
EQUAL: Order = ()
#: A queued worker: its order, its order of arrival, and its key.
Entry = tuple[Order, int, WorkerKey]


class ReadyQueue:
    def __init__(self) -> None:
        #: One heap for each job. The entry with the lowest order starts first.
        self._queues: dict[str, list[Entry]] = {}
        self._jobs: dict[str, Job] = {}
        self._resuming: dict[WorkerKey, Job] = {}
        #: Delayed workers, earliest start first: (earliest start, order of arrival, worker, job of
        #: the worker, order of the worker).
        self._delayed: list[tuple[float, int, WorkerKey, Job, Order]] = []
        self._arrivals = count()
        self._turns: dict[str, int] = {}
        self._clock = 0

    def push(self, key: WorkerKey, job: Job, order: Order = EQUAL) -> None:
        self._jobs[job.id] = job
        queue = self._queues.setdefault(job.id, [])
        heapq.heappush(queue, (order, next(self._arrivals), key))

    def push_later(self, key: WorkerKey, job: Job, not_before: float, order: Order = EQUAL) -> None:
        heapq.heappush(self._delayed, (not_before, next(self._arrivals), key, job, order))

    def push_resuming(self, key: WorkerKey, job: Job) -> None:
        self._resuming[key] = job

    def drop_resuming(self, key: WorkerKey) -> None:
        self._resuming.pop(key, None)

    def release_delayed(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            *_, key, job, order = heapq.heappop(self._delayed)
            self.push(key, job, order)

    def waiting(self, until: float) -> Iterator[tuple[WorkerKey, Job]]:
        """Yield the queued workers, and the workers whose delay ends by the time ``until``.

        Each worker is yielded with its job.
        """
        for job_id, queue in self._queues.items():
            for *_, key in queue:
                yield key, self._jobs[job_id]
        for not_before, _, key, job, _ in self._delayed:
            if not_before <= until:
                yield key, job

    @property
    def next_delayed(self) -> float | None:
        return self._delayed[0][0] if self._delayed else None

    def pop_resuming(self, has_room: Callable[[str], bool]) -> WorkerKey | None:
        for key, job in sorted(self._resuming.items(), key=lambda item: -item[1].depth):
            if has_room(job.id):
                del self._resuming[key]
                return key
        return None

    def next(
        self, has_room: Callable[[str], bool], running_in: Callable[[str], int]
    ) -> tuple[str, WorkerKey] | None:
        """Return the next job that has a free slot, with its next worker; None without such a job.

        ``has_room``: returns True if a job has a free slot. ``running_in``: returns the number of
        running workers of a job. The argument of both functions is a job's id. The worker stays in
        the queue until ``take``.
        """
        for job in self._in_order(running_in):
            if has_room(job.id):
                return job.id, self._queues[job.id][0][-1]
        return None

    def _in_order(self, running_in: Callable[[str], int]) -> Iterator[Job]:
        jobs = [self._jobs[job_id] for job_id in self._queues]
        if len(jobs) == 1:
            return iter(jobs)
        return iter(
            sorted(
                jobs,
                key=lambda job: (
                    -job.depth,
                    running_in(job.root_id),
                    self._turns.get(job.root_id, 0),
                ),
            )
        )

    def first_of_each(self) -> list[WorkerKey]:
        return [queue[0][-1] for queue in self._queues.values()]

    def take(self, job_id: str) -> Entry:
        """Remove and return the first entry of a job."""
        queue, root_id = self._queues[job_id], self._jobs[job_id].root_id
        entry = heapq.heappop(queue)
        if not queue:
            self.drop_job(job_id)
        self._clock += 1
        self._turns[root_id] = self._clock
        return entry

    def return_entry(self, entry: Entry, job: Job) -> None:
        self._jobs[job.id] = job
        heapq.heappush(self._queues.setdefault(job.id, []), entry)

    @property
    def roots(self) -> set[str]:
        resuming = (job.root_id for job in self._resuming.values())
        return {job.root_id for job in self._jobs.values()}.union(resuming)

    def length_of(self, job_id: str) -> int:
        """Return the number of queued workers of a job, including outdated entries."""
        return len(self._queues.get(job_id, ()))

    def first_of(self, job_id: str) -> WorkerKey:
        """Return the next worker of a job, which must have a queued worker."""
        return self._queues[job_id][0][-1]

    def drop_job(self, job_id: str) -> None:
        self._queues.pop(job_id, None)
        self._jobs.pop(job_id, None)

    def forget_root(self, root_id: str) -> None:
        self._turns.pop(root_id, None)
        self._delayed = [each for each in self._delayed if each[3].root_id != root_id]
        heapq.heapify(self._delayed)
