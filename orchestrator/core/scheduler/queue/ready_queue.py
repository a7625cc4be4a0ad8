"""Ready queue: workers that can start or resume, in order, and workers that are held back."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from orchestrator.core.model.job import Job, Worker, WorkerKey


class ReadyQueue:
    def __init__(self) -> None:
        self._queues: dict[str, deque[WorkerKey]] = {}
        self._jobs: dict[str, Job] = {}
        self._resuming: dict[WorkerKey, Job] = {}
        #: Entries (not before, order of arrival, worker, its job), soonest first.
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
        """Return the next job and its next worker, which stays queued until ``take``."""
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
        """Return the next worker of every job."""
        return [queue[0] for queue in self._queues.values()]

    def take(self, job_id: str) -> None:
        """Remove the first worker of a job, because it starts or has to stop."""
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


#: Seconds after which the other workers start, although the first worker has no answer yet.
AHEAD_SECONDS = 20.0


def _none(agent: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompting:
    """Properties of agents that concern prompts, by agent name."""

    #: Returns True if the agent reads a prompt, which begins with its job's shared context.
    reads: Callable[[str], bool] = _none
    #: Returns True if the agent's provider caches the beginning of prompts, and charges less for
    #: cached input.
    caches: Callable[[str], bool] = _none
    ahead_seconds: float = AHEAD_SECONDS


@dataclass(slots=True)
class _Group:
    """The workers of a job that have the same agent."""

    first: Worker
    until: float
    behind: list[WorkerKey] = field(default_factory=list)


class StartHolds:
    def __init__(self, prompting: Prompting) -> None:
        self._prompting = prompting
        self.reads_prompt = prompting.reads
        #: Jobs whose shared context exists.
        self._prepared: set[str] = set()
        #: By job: workers that wait for the job's shared context.
        self._unprepared: dict[str, list[WorkerKey]] = {}
        #: By (job, agent): the group whose first worker has no answer yet.
        self._ahead: dict[tuple[str, str], _Group] = {}
        #: (job, agent) whose shared prompt is probably in the provider's cache.
        self._heard: set[tuple[str, str]] = set()

    # -- the shared context ---------------------------------------------------------------------

    def lacks_context(self, worker: Worker) -> bool:
        return self._prompting.reads(worker.agent) and worker.job_id not in self._prepared

    def wait_for_context(self, worker: Worker) -> bool:
        """Hold the worker until its job's context exists. Return True for the first worker, so
        that the caller requests the context.
        """
        is_first = worker.job_id not in self._unprepared
        self._unprepared.setdefault(worker.job_id, []).append(worker.key)
        return is_first

    def prepared(self, job_id: str) -> list[WorkerKey]:
        """Record that the job's shared context exists. Return the workers that waited for it."""
        if job_id not in self._unprepared:  # the job has ended since
            return []
        self._prepared.add(job_id)
        return self._unprepared.pop(job_id)

    # -- the first worker ----------------------------------------------------------------------

    def ahead_of(self, worker: Worker) -> Worker | None:
        """Return the first worker of the same job and agent, if the given worker must wait for its
        answer.
        """
        group = self._ahead.get((worker.job_id, worker.agent))
        return group.first if group else None

    def wait_behind(self, worker: Worker) -> None:
        self._ahead[worker.job_id, worker.agent].behind.append(worker.key)

    def caches(self, agent: str) -> bool:
        return self._prompting.caches(agent)

    def started(self, worker: Worker, now: float, doubtful: bool = False) -> None:
        """Record a start. ``doubtful``: the agent's login is not known to work."""
        group, first = (worker.job_id, worker.agent), doubtful or self.caches(worker.agent)
        if first and group not in self._ahead and group not in self._heard:
            self._ahead[group] = _Group(worker, now + self._prompting.ahead_seconds)

    def heard(self, worker: Worker) -> list[WorkerKey]:
        """Record that the model has answered the worker. Return the workers that may start now."""
        group = worker.job_id, worker.agent
        if group not in self._ahead and not self.caches(worker.agent):
            return []
        self._heard.add(group)
        return self._pass(group)

    def gone(self, worker: Worker) -> list[WorkerKey]:
        """Record that the worker's process has ended. Return the workers that it held."""
        group = self._ahead.get((worker.job_id, worker.agent))
        if group is None or group.first.key != worker.key:
            return []
        return self._pass((worker.job_id, worker.agent))

    def overdue(self, now: float) -> list[WorkerKey]:
        """Return the workers whose hold has timed out."""
        late = [each for each, group in self._ahead.items() if group.until <= now]
        self._heard.update(late)
        return [key for each in late for key in self._pass(each)]

    @property
    def next_time(self) -> float | None:
        """Return the time at which the next hold times out."""
        waited_for = (group.until for group in self._ahead.values() if group.behind)
        return min(waited_for, default=None)

    def forget(self, job_ids: Iterable[str]) -> None:
        gone = set(job_ids)
        self._prepared -= gone
        self._heard = {each for each in self._heard if each[0] not in gone}
        for group in [each for each in self._ahead if each[0] in gone]:
            del self._ahead[group]
        for job_id in gone:
            self._unprepared.pop(job_id, None)

    def _pass(self, group: tuple[str, str]) -> list[WorkerKey]:
        ended = self._ahead.pop(group, None)
        return ended.behind if ended else []
