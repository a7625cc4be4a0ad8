"""Start order of workers, and the limits on starts.

- ``ReadyQueue``: workers that can start or resume, in order, and workers that are held back
- ``Slots``: counted for the server, for every job with its descendants, and per process
- ``AgentThrottle``: workers of one agent while its account is limited
- ``Capacity``: free resources of the machine, as reported at the beginning of a turn
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import count

from orchestrator.core.dataclass import dataclass
from orchestrator.core.limits.quotas import LIVE_PER_RUNNING
from orchestrator.core.model.job import Job, Worker, WorkerKey
from orchestrator.core.model.states import WaitKind
from orchestrator.core.scheduler.placement import Machine

#: Place of a worker among its job's workers. Lower values start first.
Order = tuple[float, ...]
EQUAL: Order = ()
#: Order, order of arrival, and worker.
Entry = tuple[Order, int, WorkerKey]


class ReadyQueue:
    def __init__(self) -> None:
        #: A heap for each job. The entry with the lowest order starts first.
        self._queues: dict[str, list[Entry]] = {}
        self._jobs: dict[str, Job] = {}
        self._resuming: dict[WorkerKey, Job] = {}
        #: Entries (not before, order of arrival, worker, its job, its order), soonest first.
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
        """Yield queued workers, and delayed ones that are queued by the time ``until``."""
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
        """Return the next job and its next worker. The worker stays in the queue until ``take``."""
        for job in self._in_order(running_in):
            if has_room(job.id):
                return job.id, self._queues[job.id][0][-1]
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
        return [queue[0][-1] for queue in self._queues.values()]

    def take(self, job_id: str) -> Entry:
        """Remove the first worker of a job from the queue. Return its entry."""
        queue, root_id = self._queues[job_id], self._jobs[job_id].root_id
        entry = heapq.heappop(queue)
        if not queue:
            self.drop_job(job_id)
        self._clock += 1
        self._turns[root_id] = self._clock
        return entry

    def put_back(self, entry: Entry, job: Job) -> None:
        """Queue a worker again at the place that it had."""
        self._jobs[job.id] = job
        heapq.heappush(self._queues.setdefault(job.id, []), entry)

    @property
    def roots(self) -> set[str]:
        """Root jobs with a worker that can start or resume."""
        resuming = (job.root_id for job in self._resuming.values())
        return {job.root_id for job in self._jobs.values()}.union(resuming)

    def length_of(self, job_id: str) -> int:
        """Return the number of queued workers of a job; some may no longer be startable."""
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


#: Seconds after which the other workers start, even if the first worker has no answer yet.
AHEAD_SECONDS = 20.0


def _none(agent: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompting:
    """Properties of agents that concern their prompts, by agent name."""

    #: Returns True if the agent reads a prompt. Prompts begin with the job's shared context.
    reads: Callable[[str], bool] = _none
    #: Returns True if the agent's provider caches the beginning of prompts, and charges less for
    #: it.
    caches: Callable[[str], bool] = _none
    ahead_seconds: float = AHEAD_SECONDS


@dataclass(slots=True)
class _Group:
    """The workers of one job with the same agent."""

    first: Worker
    until: float
    behind: list[WorkerKey] = field(default_factory=list)


class StartHolds:
    def __init__(self, prompting: Prompting) -> None:
        self._prompting = prompting
        self.reads_prompt = prompting.reads
        #: Jobs whose shared context exists.
        self._prepared: set[str] = set()
        #: Workers that wait for their job's shared context, by job.
        self._unprepared: dict[str, list[WorkerKey]] = {}
        #: Groups whose first worker has no answer yet, by (job, agent).
        self._ahead: dict[tuple[str, str], _Group] = {}
        #: Pairs (job, agent) whose shared beginning of prompts is probably in the provider's cache.
        self._heard: set[tuple[str, str]] = set()

    # -- the shared context ---------------------------------------------------------------------

    def lacks_context(self, worker: Worker) -> bool:
        return self._prompting.reads(worker.agent) and worker.job_id not in self._prepared

    def wait_for_context(self, worker: Worker) -> bool:
        """Hold the worker until its job's context exists.

        Return True for the first worker of the job: then the caller must request the context.
        """
        is_first = worker.job_id not in self._unprepared
        self._unprepared.setdefault(worker.job_id, []).append(worker.key)
        return is_first

    def prepared(self, job_id: str) -> list[WorkerKey]:
        """Record that the job's shared context exists. Return the workers that waited for it."""
        if job_id not in self._unprepared:  # The job has ended since
            return []
        self._prepared.add(job_id)
        return self._unprepared.pop(job_id)

    # -- the first worker ----------------------------------------------------------------------

    def ahead_of(self, worker: Worker) -> Worker | None:
        """Return the first worker of the same job and agent, if the given worker must wait for
        its answer; None otherwise.
        """
        group = self._ahead.get((worker.job_id, worker.agent))
        return group.first if group else None

    def wait_behind(self, worker: Worker) -> None:
        self._ahead[worker.job_id, worker.agent].behind.append(worker.key)

    def caches(self, agent: str) -> bool:
        return self._prompting.caches(agent)

    def started(self, worker: Worker, now: float, doubtful: bool = False) -> None:
        """Record a worker's start.

        ``doubtful``: True if the agent's login is not known to work.
        """
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


class Slots:
    """Counts slots. ``max_workers`` limits running workers, ``max_live_workers`` limits processes.

    A root job may have a higher ``max_workers`` than the server. While such a job exists, its limit
    applies to the whole server.
    """

    def __init__(
        self,
        *,
        max_workers: int,
        max_live_workers: int | None = None,
        of_key: Callable[[str], int | None] = lambda name: None,
    ) -> None:
        #: Limit on the running workers of all jobs of an API key; None: no limit.
        self._of_key = of_key
        self._default_workers = max_workers
        self._max_live = max_live_workers
        #: The ``max_workers`` of each root job, by its id.
        self._allowed: dict[str, int] = {}
        self._max_workers = max_workers
        #: The limits of each job and its ancestors, by job id.
        self._line: dict[str, Sequence[tuple[str, int]]] = {}
        self._running: dict[str, int] = {}
        #: Number of slots that are reserved for resuming workers, by the name of the limit: a job,
        #: a key, or the server.
        self._kept: Counter[str] = Counter()
        self._kept_total = 0
        self._total = 0
        self._live = 0

    @property
    def running(self) -> int:
        return self._total

    @property
    def live(self) -> int:
        return self._live

    def add_job(self, job: Job, ancestors: Sequence[Job]) -> None:
        line = [job, *ancestors]
        limits = [(each.id, each.config.max_workers) for each in line]
        owner = line[-1].submitted_by
        most = self._of_key(owner)
        if most is not None:
            # Job ids have no blank, so this name cannot be a job id.
            limits.append((f"key {owner}", most))
            self._running.setdefault(f"key {owner}", 0)
        self._line[job.id] = limits
        self._running[job.id] = 0
        if job.is_root:
            self._allowed[job.id] = job.config.max_workers
            self._max_workers = max(self._max_workers, job.config.max_workers)

    def drop_job(self, job_id: str) -> None:
        if self._allowed.pop(job_id, 0) >= self._max_workers:
            self._max_workers = max(self._default_workers, *self._allowed.values(), 0)
        self._line.pop(job_id, None)
        self._running.pop(job_id, None)

    def running_in(self, job_id: str) -> int:
        """Return the number of running workers of the job and all its descendants."""
        return self._running[job_id]

    def has_room(self, job_id: str) -> bool:
        if self._total >= self._max_workers:
            return False
        return all(self._running[each] < most for each, most in self._line[job_id])

    def forecast(self) -> Callable[[str], bool]:
        """Return a function that takes a slot for a worker of a job, in a forecast only.

        The function returns False if a limit of the job, of its ancestors, or of the server leaves
        no slot.
        """
        taken: Counter[str] = Counter()
        total = self._total

        def take(job_id: str) -> bool:
            nonlocal total
            line = self._line[job_id]
            if total >= self._max_workers:
                return False
            if any(self._running[each] + taken[each] >= most for each, most in line):
                return False
            taken.update(each for each, _ in line)
            total += 1
            return True

        return take

    def keep_free(self, job_ids: Collection[str]) -> None:
        """Reserve one slot for each entry of ``job_ids``: the jobs of workers about to resume."""
        self._kept_total = len(job_ids)
        self._kept = Counter(each for job_id in job_ids for each, _ in self._line[job_id])

    def has_room_to_start(self, job_id: str) -> bool:
        """True if a slot is free for a new worker.

        Slots that are reserved for workers about to resume are not free.
        """
        if not self._kept_total:
            return self.has_room(job_id)
        if self._total + self._kept_total >= self._max_workers:
            return False
        line = self._line[job_id]
        return all(self._running[each] + self._kept[each] < most for each, most in line)

    @property
    def all_wait(self) -> bool:
        """True if no live worker runs.

        Then neither the number of processes nor memory may hold back a start, because only a new
        worker can finish the work for which all others wait.
        """
        return self._total == 0

    @property
    def has_room_for_process(self) -> bool:
        """True if one more process may exist."""
        return self._live < (self._max_live or LIVE_PER_RUNNING * self._max_workers)

    def acquire(self, job_id: str) -> None:
        self._count(job_id, 1)

    def release(self, job_id: str) -> None:
        self._count(job_id, -1)

    def process_added(self) -> None:
        self._live += 1

    def process_gone(self) -> None:
        self._live -= 1

    def _count(self, job_id: str, step: int) -> None:
        self._total += step
        for each, _ in self._line[job_id]:
            self._running[each] += step

    def snapshot(self) -> Mapping[str, int]:
        return {"running": self._total, "live": self._live, "slots": self._max_workers}


#: Seconds without starts after a rate limit that names no time. Each further rate limit doubles the
#: seconds, up to the second value.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
#: Maximum seconds to wait for the time that a provider names. A later time is not believed.
LONGEST_RESET_SECONDS = 6 * 3600.0
#: Seconds after which a worker for which the machine had no capacity is checked again.
LOOK_AGAIN_SECONDS = 5.0


@dataclass(slots=True)
class _Account:
    #: Number of workers that may run at the same time.
    limit: float
    #: The value of ``limit`` before the first rate limit. When ``limit`` reaches it again, the
    #: throttle is removed.
    before: int
    paused_until: float
    pause: float = FIRST_PAUSE_SECONDS


class AgentThrottle:
    """Throttles of agents, by name: agents with the same name share an account.

    The number of workers grows by addition and shrinks by division (Chiu and Jain, 1989), as in
    TCP. An agent whose account was never limited has no throttle.
    """

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._accounts: dict[str, _Account] = {}

    @property
    def is_limiting(self) -> bool:
        """True if the account of an agent is limited."""
        return bool(self._accounts)

    def started(self, agent: str) -> None:
        self._running[agent] = self._running.get(agent, 0) + 1

    def gone(self, agent: str) -> None:
        self._running[agent] -= 1

    def refused(self, agent: str, resets_at: float | None, now: float) -> float:
        """Record that a rate limit ended a worker. Return when the agent may be used again (Unix
        time).

        Call ``gone`` for the worker first.
        """
        running = self._running.get(agent, 0) + 1
        account = self._accounts.get(agent)
        if account is None:
            account = self._accounts[agent] = _Account(running, running, now)
        # Several rate limits at about the same time halve the number only once.
        if now >= account.paused_until:
            account.limit = max(1.0, min(account.limit, running) / 2)
            until = _bounded(resets_at, now) or now + account.pause
            account.paused_until = until
            account.pause = min(account.pause * 2, LONGEST_PAUSE_SECONDS)
        elif resets_at is not None:
            account.paused_until = max(account.paused_until, _bounded(resets_at, now) or now)
        return account.paused_until

    def succeeded(self, agent: str) -> None:
        account = self._accounts.get(agent)
        if account is None:
            return
        account.limit += 1 / account.limit
        account.pause = FIRST_PAUSE_SECONDS
        if account.limit > account.before:
            del self._accounts[agent]

    def held_until(self, agent: str, now: float) -> float | None:
        """Return the time at which one more worker may start; None: now."""
        account = self._accounts.get(agent)
        if account is None:
            return None
        if now < account.paused_until:
            return account.paused_until
        full = self._running.get(agent, 0) >= max(1, int(account.limit))
        return now + LOOK_AGAIN_SECONDS if full else None


def _bounded(resets_at: float | None, now: float) -> float | None:
    if resets_at is None or resets_at <= now:
        return None
    return min(resets_at, now + LONGEST_RESET_SECONDS)


@dataclass(frozen=True, slots=True)
class Lack:
    """A resource that the machine has too little of."""

    kind: WaitKind
    #: The shortage as a sentence with figures, for people.
    reason: str


def _nothing(agent: str) -> Lack | None:
    return None


def _no_memory(agent: str) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Capacity:
    #: Why no worker may start at all; None if workers may start.
    paused: Lack | None = None
    #: Returns why one more worker of an agent may not start; None if it may. In this case, the call
    #: counts the worker.
    lack: Callable[[str], Lack | None] = _nothing
    #: The machines of the cluster; None: workers start on the server's machine.
    machines: Sequence[Machine] | None = None
    #: Returns the memory in bytes that another machine must have for one more worker of an agent.
    memory_needed: Callable[[str], int] = _no_memory


#: Capacity without limits.
UNLIMITED = Capacity()
