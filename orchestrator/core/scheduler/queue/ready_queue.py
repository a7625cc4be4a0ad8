"""The queue of workers that can start or resume, and of workers whose start is delayed.

If run times of earlier runs are known, the task with the longest chain of dependent tasks starts
first. For real workflows, this order is within a few percent of the best order, even if run times
are wrong by a factor of two. Without run times, the task with the most direct and indirect
dependent tasks starts first.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from hashlib import blake2b
from itertools import count
from statistics import median

from orchestrator.core.model.dag import dependents
from orchestrator.core.model.job import Job, TaskSpec, WorkerKey

#: Number of digits after the decimal point of a run time. Tasks with equal rounded times start in
#: the order of the plan.
DIGITS = 1
#: Number of stored run times of a task; a new run time replaces the oldest.
SAMPLES = 5
#: Maximum number of names with run times; the least recently used names are dropped.
MOST_NAMES = 20_000


class RunTimes:
    """Run times of earlier tasks. Each run time has several names (see ``_names_of``)."""

    def __init__(self, known: Iterable[tuple[str, float]] = ()) -> None:
        """``known``: pairs of a name and a run time, oldest first."""
        self._samples: dict[str, tuple[float, ...]] = {}
        self._names: dict[str, Mapping[str, Sequence[str]]] = {}
        for name, seconds in known:
            self._add_sample(name, seconds)

    def expected(self, job: Job, tasks: Sequence[TaskSpec]) -> dict[str, float]:
        """Return the median run time of each task that ran before, by task id."""
        self._names[job.id] = names = _names_of(job, tasks)
        medians: dict[str, float] = {}
        for task_id, task_names in names.items():
            samples = next(
                (self._samples[name] for name in task_names if name in self._samples), None
            )
            if samples is not None:
                medians[task_id] = round(median(samples), DIGITS)
        return medians

    def learn(self, job_id: str, task_id: str, seconds: float) -> Sequence[tuple[str, float]]:
        """Add a task's run time. Return each name under which it is stored, with the run time."""
        names = self._names.get(job_id, {}).get(task_id, ())
        for name in names:
            self._add_sample(name, seconds)
        return [(name, seconds) for name in names]

    def forget(self, job_id: str) -> None:
        self._names.pop(job_id, None)

    def _add_sample(self, name: str, seconds: float) -> None:
        # Move the name to the end, so that the least recently used names are at the beginning.
        samples = self._samples.pop(name, ())
        self._samples[name] = (*samples[1 - SAMPLES :], seconds)
        if len(self._samples) > MOST_NAMES:
            del self._samples[next(iter(self._samples))]


def _names_of(job: Job, tasks: Sequence[TaskSpec]) -> dict[str, Sequence[str]]:
    """Return, by task id, the three names under which run times of a task may be stored.

    The names are made from these values, so tasks with equal values have the same name:

    - First name: the task's id, and the plan of its job.
    - Second name: the task's id, and the request of its job.
    - Third name: the task's agents, and its command or prompt.
    """
    descriptions = {
        task.id: f"{','.join(task.agents)}\0{task.command or task.prompt or task.title}"
        for task in tasks
    }
    plan = _digest(*(f"{each.id}\0{descriptions[each.id]}\0{each.depends_on}" for each in tasks))
    return {
        task_id: (
            _digest("plan", plan, task_id),
            _digest("request", job.request, task_id),
            _digest("work", description),
        )
        for task_id, description in descriptions.items()
    }


def _digest(*parts: str) -> str:
    text = "\0\0".join(parts).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).hexdigest()


#: Rank of a task: the seconds to the end of the longest path from the task, and the number of the
#: task's descendants. The task with the larger rank starts first.
Rank = tuple[float, int]
NO_RANK: Rank = (0.0, 0)


def ranks(tasks: Iterable[TaskSpec], seconds: Mapping[str, float]) -> dict[str, Rank]:
    """Return the rank of each task. ``seconds``: known run times, by task id.

    If the run time of a task is unknown, the median of the known run times is used. The result is
    empty if all tasks are equal: no task has dependents, and all known run times are the same.
    """
    tasks_by_id = {task.id: task for task in tasks}
    dependent_ids = dependents(tasks_by_id.values())
    if not dependent_ids and len(set(seconds.values())) < 2:
        return {}
    default_seconds = median(seconds.values()) if seconds else 0.0
    bits = {task_id: 1 << place for place, task_id in enumerate(tasks_by_id)}
    descendant_bits: dict[str, int] = {}
    task_ranks: dict[str, Rank] = {}
    # Each task comes after all tasks that depend on it. Tasks without dependent tasks come first,
    # without sorting: most tasks of a large job are of this kind, and sorting takes time.
    leaves = [each for each in tasks_by_id if each not in dependent_ids]
    inner = (
        each for each in TopologicalSorter(dependent_ids).static_order() if each in dependent_ids
    )
    for task_id in (*leaves, *inner):
        direct = dependent_ids.get(task_id, ())
        descendants = 0
        for each in direct:
            descendants |= descendant_bits[each] | bits[each]
        descendant_bits[task_id] = descendants
        path = max((task_ranks[each][0] for each in direct), default=0.0)
        task_ranks[task_id] = seconds.get(task_id, default_seconds) + path, descendants.bit_count()
    return task_ranks


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
