"""Slots and holds: what a ready worker waits for before its start.

Slots limit the server's processes. They also limit the running workers of the server, of each API
key, and of each job together with the jobs below it. Holds delay the starts of a job's workers
until two conditions are met:

- The job's shared context exists.
- The first worker of the same agent has an answer from the model. The other workers then find the
  beginning of their prompts in the provider's cache, and an invalid login fails only once.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job, Worker, WorkerKey
from orchestrator.core.model.machines import LIVE_PER_RUNNING
from orchestrator.core.ports import Prompting


class Slots:
    """Counts slots. ``max_workers`` limits running workers; ``max_live_workers`` limits processes.

    If a root job has a higher ``max_workers`` than the server, the job's value is also the server's
    limit while the job exists.
    """

    def __init__(
        self,
        *,
        max_workers: int,
        max_live_workers: int | None,
        of_key: Callable[[str], int | None] = lambda name: None,
    ) -> None:
        #: Limit on the running workers of all jobs of an API key; None: no limit.
        self._of_key = of_key
        self._default_workers = max_workers
        self._max_live = max_live_workers
        #: The ``max_workers`` of each root job, by its id.
        self._allowed: dict[str, int] = {}
        self._max_workers = max_workers
        #: The limits that apply to each job, by job id: the limits of the job, of its ancestors,
        #: and of its API key. A limit is a name with a maximum number of running workers.
        self._line: dict[str, Sequence[tuple[str, int]]] = {}
        self._running: dict[str, int] = {}
        #: Number of slots reserved for resuming workers, by the limit to which they belong: a job,
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
        """Return the number of running workers of the job and of all jobs below it."""
        return self._running[job_id]

    def has_room(self, job_id: str) -> bool:
        if self._total >= self._max_workers:
            return False
        return all(self._running[each] < most for each, most in self._line[job_id])

    def forecast(self) -> Callable[[str], bool]:
        """Return a function that simulates starts, without changing the real counts.

        Each call of the function gets a job's id. If a slot is free for a worker of the job, the
        call takes the slot and returns True. Otherwise it returns False.
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
        """Reserve one slot for each worker that will soon resume.

        ``job_ids``: the job of each of these workers. A job may occur several times.
        """
        self._kept_total = len(job_ids)
        self._kept = Counter(each for job_id in job_ids for each, _ in self._line[job_id])

    def has_room_to_start(self, job_id: str) -> bool:
        """True if a slot is free for a new worker.

        Slots that ``keep_free`` reserves are not free.
        """
        if not self._kept_total:
            return self.has_room(job_id)
        if self._total + self._kept_total >= self._max_workers:
            return False
        line = self._line[job_id]
        return all(self._running[each] + self._kept[each] < most for each, most in line)

    @property
    def all_wait(self) -> bool:
        """True if no worker runs: every worker with a process waits.

        Only a new worker can then finish the work for which the waiting workers wait. Therefore,
        the start of a new worker may exceed the limits for processes and memory.
        """
        return self._total == 0

    @property
    def has_room_for_process(self) -> bool:
        return self._live < (self._max_live or LIVE_PER_RUNNING * self._max_workers)

    def acquire(self, job_id: str) -> None:
        self._count_running(job_id, 1)

    def release(self, job_id: str) -> None:
        self._count_running(job_id, -1)

    def process_added(self) -> None:
        self._live += 1

    def process_gone(self) -> None:
        self._live -= 1

    def _count_running(self, job_id: str, step: int) -> None:
        self._total += step
        for each, _ in self._line[job_id]:
            self._running[each] += step

    def snapshot(self) -> Mapping[str, int]:
        return {"running": self._total, "live": self._live, "slots": self._max_workers}


@dataclass(slots=True)
class _Group:
    """Workers of one job and agent that wait until the model answers the worker ``first``.

    The wait ends at the time ``until`` even without an answer.
    """

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
        #: By job and agent: the group whose first worker has no answer yet.
        self._ahead: dict[tuple[str, str], _Group] = {}
        #: Pairs (job, agent) whose shared beginning of prompts is probably in the provider's cache.
        self._heard: set[tuple[str, str]] = set()

    # -- the shared context ---------------------------------------------------------------------

    def lacks_context(self, worker: Worker) -> bool:
        return self._prompting.reads(worker.agent) and worker.job_id not in self._prepared

    def wait_for_context(self, worker: Worker) -> bool:
        """Hold the worker until its job's context exists.

        Return True for the first worker of the job: the caller must then request the context.
        """
        is_first = worker.job_id not in self._unprepared
        self._unprepared.setdefault(worker.job_id, []).append(worker.key)
        return is_first

    def prepared(self, job_id: str) -> list[WorkerKey]:
        """Record that the job's context exists. Return the workers that waited for the context."""
        if job_id not in self._unprepared:  # The job has ended since the request.
            return []
        self._prepared.add(job_id)
        return self._unprepared.pop(job_id)

    # -- the first worker ----------------------------------------------------------------------

    def ahead_of(self, worker: Worker) -> Worker | None:
        """Return the worker of the same job and agent that the model must answer first.

        The other workers of the job and agent wait for this answer. Return None if they need not
        wait.
        """
        group = self._ahead.get((worker.job_id, worker.agent))
        return group.first if group else None

    def wait_behind(self, worker: Worker) -> None:
        self._ahead[worker.job_id, worker.agent].behind.append(worker.key)

    def caches(self, agent: str) -> bool:
        return self._prompting.caches(agent)

    def started(self, worker: Worker, now: float, doubtful: bool = False) -> None:
        """Record a worker's start. ``doubtful``: True if the agent's login is not known to work."""
        group, first = (worker.job_id, worker.agent), doubtful or self.caches(worker.agent)
        if first and group not in self._ahead and group not in self._heard:
            self._ahead[group] = _Group(worker, now + self._prompting.ahead_seconds)

    def heard(self, worker: Worker) -> list[WorkerKey]:
        """Record that the model has answered the worker. Return the workers that may start now."""
        group = worker.job_id, worker.agent
        if group not in self._ahead and not self.caches(worker.agent):
            return []
        self._heard.add(group)
        return self._dissolve_group(group)

    def process_ended(self, worker: Worker) -> list[WorkerKey]:
        """Record that the worker's process has ended. Return the workers that may start now.

        These workers waited for the model's first answer to the ended worker.
        """
        group = self._ahead.get((worker.job_id, worker.agent))
        if group is None or group.first.key != worker.key:
            return []
        return self._dissolve_group((worker.job_id, worker.agent))

    def overdue(self, now: float) -> list[WorkerKey]:
        late = [each for each, group in self._ahead.items() if group.until <= now]
        self._heard.update(late)
        return [key for each in late for key in self._dissolve_group(each)]

    @property
    def next_time(self) -> float | None:
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

    def _dissolve_group(self, group: tuple[str, str]) -> list[WorkerKey]:
        ended = self._ahead.pop(group, None)
        return ended.behind if ended else []
