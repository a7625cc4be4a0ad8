"""Caches of the store: recent job trees, values by job id, and version numbers of root jobs.

The caches avoid database reads for reports, and for calls that read or wait for a job.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.ports import StateChange, Tree
from orchestrator.store.database.tree_queries import tree_of

#: Maximum number of workers of a tree in memory. Larger trees are read from the database.
MOST_WORKERS = 5_000
#: Maximum number of trees in memory, and maximum number of ended trees among them.
MOST_TREES, MOST_ENDED = 200, 8


class _Rows:
    def __init__(self, root: Job) -> None:
        self.root_id = root.id
        self.jobs: dict[str, Job] = {}
        self.tasks: dict[str, list[TaskSpec]] = {}
        self.workers: dict[str, Worker] = {}
        self.attempts: dict[tuple[str, int], Attempt] = {}
        self.last_seq = 0


class JobTreeCache:
    """A cache of the job trees that this process has created. Any thread may call.

    Use the cache only if no other process writes to the database.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trees: dict[str, _Rows] = {}
        #: The tree of each job, by the job's id.
        self._of_job: dict[str, _Rows] = {}
        #: Root jobs that have ended, in the order of their ends.
        self._ended: dict[str, None] = {}

    def apply(self, change: StateChange) -> None:
        """Apply a change. Call this only after the change was committed."""
        with self._lock:
            for job_id in change.replaced_plans:
                self._drop(job_id)
            for job in change.new_jobs:
                self._add(job)
            if self._trees:
                self._update_rows(change)

    def tree(self, root_id: str, job_ids: Collection[str] | None = None) -> Tree | None:
        """Return the tree of a root job; None if the tree must be read from the database.

        ``job_ids``: the jobs to return; None: all jobs of the tree.
        """
        with self._lock:
            rows = self._trees.get(root_id)
            if rows is None:
                return None
            jobs = [each for each in rows.jobs.values() if job_ids is None or each.id in job_ids]
            jobs.sort(key=lambda each: (each.created_at, each.id))
            if not jobs:
                return None
            tasks = {each.id: list(rows.tasks.get(each.id, ())) for each in jobs}
            workers, attempts = list(rows.workers.values()), list(rows.attempts.values())
            last_seq = rows.last_seq
        return tree_of(jobs, tasks, workers, attempts, last_seq)

    def workers(self, job_id: str) -> Sequence[Worker] | None:
        """Return a job's workers in the order of their index, without planners and reviewers.

        Return None if the workers must be read from the database.
        """
        with self._lock:
            rows = self._of_job.get(job_id)
            if rows is None:
                return None
            workers = list(rows.workers.values())
        job_workers = [each for each in workers if each.job_id == job_id and not each.is_adviser]
        return sorted(job_workers, key=lambda each: each.index)

    def clear(self) -> None:
        with self._lock:
            self._trees.clear()
            self._of_job.clear()
            self._ended.clear()

    def _add(self, job: Job) -> None:
        if job.is_root and len(self._trees) < MOST_TREES:
            self._trees[job.id] = _Rows(job)
        rows = self._trees.get(job.root_id)
        if rows is not None:
            rows.jobs[job.id] = job
            self._of_job[job.id] = rows

    def _update_rows(self, change: StateChange) -> None:
        for job_id, position, task in change.new_tasks:
            if (rows := self._of_job.get(job_id)) is not None:
                tasks = rows.tasks.setdefault(job_id, [])
                if position != len(tasks):
                    self._drop(job_id)
                    continue
                tasks.append(task)
        for worker in (*change.new_workers, *change.workers):
            if (rows := self._trees.get(worker.root_id)) is not None:
                rows.workers[worker.id] = worker
                if len(rows.workers) > MOST_WORKERS:
                    self._drop(rows.root_id)
        for key, number in change.dropped_attempts:
            if (rows := self._trees.get(key.root_id)) is not None:
                rows.attempts.pop((key.worker_id, number), None)
        for attempt in (*change.new_attempts, *change.attempts):
            if (rows := self._trees.get(attempt.root_id)) is not None:
                rows.attempts[attempt.worker_id, attempt.number] = attempt
        for event in change.events:
            if (rows := self._trees.get(event.root_id)) is not None:
                rows.last_seq = event.seq
        for job in change.jobs:
            if (rows := self._trees.get(job.root_id)) is not None:
                rows.jobs[job.id] = job
                self._note_end(job)

    def _note_end(self, job: Job) -> None:
        if job.is_root:
            self._ended.pop(job.id, None)
            if job.status.ended:
                self._ended[job.id] = None
            if len(self._ended) > MOST_ENDED:
                self._drop(next(iter(self._ended)))

    def _drop(self, job_id: str) -> None:
        rows = self._of_job.get(job_id)
        if rows is not None:
            del self._trees[rows.root_id]
            self._ended.pop(rows.root_id, None)
            for each in rows.jobs:
                del self._of_job[each]


Value = TypeVar("Value")


class JobCache(Generic[Value]):
    """A cache of values by job id. Any thread may call.

    The least recently used value is removed first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[str, Value] = OrderedDict()
        #: Reads in progress, by job. A value has the changes since the read began. ``replace`` and
        #: ``drop`` remove the read of a job, because the read may return an outdated value.
        self._readings: dict[str, list[Callable[[Value], Value | None]]] = {}

    def get(self, job_id: str, read: Callable[[], Value]) -> Value:
        """Return the cached value of a job. If no value is cached, cache and return ``read()``.

        The result is not cached if ``replace`` or ``drop`` is called for the job during the read.
        """
        return self.get_all([job_id], lambda _: {job_id: read()})[job_id]

    def get_all(
        self, job_ids: Collection[str], read: Callable[[Sequence[str]], Mapping[str, Value]]
    ) -> Mapping[str, Value]:
        """Return the values of several jobs.

        ``read`` is called at most once, with the ids of the jobs that are not cached.
        """
        with self._lock:
            values = {each: self._values[each] for each in job_ids if each in self._values}
            for job_id in values:
                self._values.move_to_end(job_id)
            missing = [each for each in job_ids if each not in values]
            readings: dict[str, list[Callable[[Value], Value | None]]] = {
                each: [] for each in missing
            }
            self._readings |= readings
        if not missing:
            return values
        try:
            for job_id, value in read(missing).items():
                values[job_id] = self._end_read(job_id, value, readings[job_id])
        finally:
            # Also end the reads of jobs for which ``read`` returned no value, so that no further
            # changes are appended.
            with self._lock:
                for job_id, reading in readings.items():
                    if self._readings.get(job_id) is reading:
                        del self._readings[job_id]
        return values

    def _end_read(
        self, job_id: str, value: Value, reading: Sequence[Callable[[Value], Value | None]]
    ) -> Value:
        """Apply to the value all changes since the read began. Cache and return the result.

        If a change discards the value, or if the read was dropped, nothing is cached.
        """
        with self._lock:
            if self._readings.get(job_id) is reading:
                del self._readings[job_id]
                for change in reading:
                    # The value may already contain the change; a change is idempotent.
                    changed = change(value)
                    if changed is None:
                        return value
                    value = changed
                self._cache(job_id, value)
        return value

    def _cache(self, job_id: str, value: Value) -> None:
        self._values[job_id] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def replace(self, values: Mapping[str, Value]) -> None:
        """Replace cached values. A job without a cached value is ignored.

        ``values``: the new values by job id. Call this only after the change was committed.
        """
        with self._lock:
            for job_id, value in values.items():
                self._readings.pop(job_id, None)
                if job_id in self._values:
                    self._values[job_id] = value

    def change(self, job_id: str, make: Callable[[Value], Value | None]) -> None:
        """Replace the cached value by the result of ``make``, or remove it if the result is None.

        ``make`` must be idempotent. Call this only after the change was committed.
        """
        with self._lock:
            if job_id in self._readings:
                self._readings[job_id].append(make)
            if job_id in self._values:
                value = make(self._values.pop(job_id))
                if value is not None:
                    self._values[job_id] = value

    def drop(self, job_ids: Iterable[str]) -> None:
        """Remove the values of changed jobs. Call this only after the change was committed."""
        with self._lock:
            for job_id in job_ids:
                self._values.pop(job_id, None)
                self._readings.pop(job_id, None)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._readings.clear()


class JobVersions:
    """Version numbers of root jobs. A job's number grows with each change of the job's rows.

    Any thread may call. In a new process, all numbers are 0.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._last = 0

    def of(self, root_id: str) -> int:
        return self._numbers.get(root_id, 0)

    def changed(self, root_ids: Iterable[str]) -> None:
        with self._lock:
            for root_id in root_ids:
                self._last += 1
                self._numbers[root_id] = self._last
