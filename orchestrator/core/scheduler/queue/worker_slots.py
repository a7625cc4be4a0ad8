"""Slots, and the limits on their number.

One limit is on the number of processes on the server. Other limits are on the number of running
workers: on the server, of each API key, and of each job including its descendants.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from orchestrator.core.model.job import Job
from orchestrator.core.model.machines import LIVE_PER_RUNNING


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
        self._limits: dict[str, Sequence[tuple[str, int]]] = {}
        self._running: dict[str, int] = {}
        #: Number of slots reserved for workers that will soon resume. The keys are the names of
        #: limits, as in ``_limits``.
        self._reserved: Counter[str] = Counter()
        self._reserved_total = 0
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
        self._limits[job.id] = limits
        self._running[job.id] = 0
        if job.is_root:
            self._allowed[job.id] = job.config.max_workers
            self._max_workers = max(self._max_workers, job.config.max_workers)

    def drop_job(self, job_id: str) -> None:
        if self._allowed.pop(job_id, 0) >= self._max_workers:
            self._max_workers = max(self._default_workers, *self._allowed.values(), 0)
        self._limits.pop(job_id, None)
        self._running.pop(job_id, None)

    def running_in(self, job_id: str) -> int:
        """Return the number of running workers of the job and of its descendants."""
        return self._running[job_id]

    def has_room(self, job_id: str) -> bool:
        if self._total >= self._max_workers:
            return False
        return all(self._running[each] < most for each, most in self._limits[job_id])

    def forecast(self) -> Callable[[str], bool]:
        """Return a function that simulates starts. The real counts stay unchanged.

        The function's argument is a job's id. If a slot is free for a worker of the job, the
        function takes the slot and returns True. Otherwise, the function returns False.
        """
        taken: Counter[str] = Counter()
        total = self._total

        def take(job_id: str) -> bool:
            nonlocal total
            limits = self._limits[job_id]
            if total >= self._max_workers:
                return False
            if any(self._running[each] + taken[each] >= most for each, most in limits):
                return False
            taken.update(each for each, _ in limits)
            total += 1
            return True

        return take

    def reserve_slots(self, job_ids: Collection[str]) -> None:
        """Reserve one slot for each worker that will soon resume.

        ``job_ids``: the job of each of these workers. A job may occur several times.
        """
        self._reserved_total = len(job_ids)
        self._reserved = Counter(each for job_id in job_ids for each, _ in self._limits[job_id])

    def has_room_to_start(self, job_id: str) -> bool:
        """True if a slot is free for a new worker.

        Slots that ``reserve_slots`` reserves are not free.
        """
        if not self._reserved_total:
            return self.has_room(job_id)
        if self._total + self._reserved_total >= self._max_workers:
            return False
        limits = self._limits[job_id]
        return all(self._running[each] + self._reserved[each] < most for each, most in limits)

    @property
    def all_wait(self) -> bool:
        """True if no worker runs: every worker with a process waits.

        The workers then wait for work that only a new worker can do. Therefore, the start of a new
        worker may exceed the limits for processes and memory. Otherwise, all workers would wait
        forever.
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

    def process_ended(self) -> None:
        self._live -= 1

    def _count_running(self, job_id: str, step: int) -> None:
        self._total += step
        for each, _ in self._limits[job_id]:
            self._running[each] += step

    def snapshot(self) -> Mapping[str, int]:
        return {"running": self._total, "live": self._live, "slots": self._max_workers}
