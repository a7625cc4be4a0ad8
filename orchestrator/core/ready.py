"""The workers that could start or resume now, and the order in which they do.

Resume first, then deepest first, then fair between root jobs: first in, first out kept 109
processes alive where deepest first kept 16, at the same makespan.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from orchestrator.core.model import Job, WorkerKey


class Ready:
    def __init__(self) -> None:
        self._queues: dict[str, deque[WorkerKey]] = {}
        self._jobs: dict[str, Job] = {}
        self._resuming: dict[WorkerKey, Job] = {}
        #: (not before, order of arrival, who, its job), soonest first.
        self._delayed: list[tuple[float, int, WorkerKey, Job]] = []
        self._arrivals = count()
        self._turns: dict[str, int] = {}
        self._clock = 0

    def push(self, key: WorkerKey, job: Job) -> None:
        self._jobs[job.id] = job
        self._queues.setdefault(job.id, deque()).append(key)

    def push_later(self, key: WorkerKey, job: Job, not_before: float) -> None:
        heapq.heappush(self._delayed, (not_before, next(self._arrivals), key, job))

    def push_resuming(self, key: WorkerKey, job: Job) -> None:
        self._resuming[key] = job

    def drop_resuming(self, key: WorkerKey) -> None:
        self._resuming.pop(key, None)

    def release_delayed(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            *_, key, job = heapq.heappop(self._delayed)
            self.push(key, job)

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
        """The job whose turn it is and its next worker, which stays here until ``take``."""
        for job in self._in_order(running_in):
            if has_room(job.id):
                return job.id, self._queues[job.id][0]
        return None

    def _in_order(self, running_in: Callable[[str], int]) -> Iterator[Job]:
        waiting = [self._jobs[job_id] for job_id in self._queues]
        if len(waiting) == 1:
            return iter(waiting)
        return iter(
            sorted(
                waiting,
                key=lambda job: (
                    -job.depth,
                    running_in(job.root_id),
                    self._turns.get(job.root_id, 0),
                ),
            )
        )

    def first_of_each(self) -> list[WorkerKey]:
        """The next worker of every job."""
        return [queue[0] for queue in self._queues.values()]

    def take(self, job_id: str) -> None:
        """The first worker of a job starts, or is not wanted any more."""
        queue, root_id = self._queues[job_id], self._jobs[job_id].root_id
        queue.popleft()
        if not queue:
            self.drop_job(job_id)
        self._clock += 1
        self._turns[root_id] = self._clock

    def drop_job(self, job_id: str) -> None:
        self._queues.pop(job_id, None)
        self._jobs.pop(job_id, None)

    def forget_root(self, root_id: str) -> None:
        self._turns.pop(root_id, None)
        self._delayed = [each for each in self._delayed if each[3].root_id != root_id]
        heapq.heapify(self._delayed)
