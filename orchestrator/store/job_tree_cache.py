"""A cache of the rows of recent job trees.

The cache saves database reads for reports, and for calls that wait for a job.
"""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.ports import StateChange, Tree

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
        """Apply a change. Call this only when the change can be read from the database."""
        with self._lock:
            for job_id in change.replaced_plans:
                self._drop(job_id)
            for job in change.new_jobs:
                self._add(job)
            if self._trees:
                self._take_over(change)

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
            found = list(rows.workers.values())
        own = [each for each in found if each.job_id == job_id and not each.is_adviser]
        return sorted(own, key=lambda each: each.index)

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

    def _take_over(self, change: StateChange) -> None:
        for job_id, position, task in change.new_tasks:
            if (rows := self._of_job.get(job_id)) is not None:
                known = rows.tasks.setdefault(job_id, [])
                if position != len(known):
                    self._drop(job_id)
                    continue
                known.append(task)
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


def tree_of(
    jobs: Sequence[Job],
    tasks: Mapping[str, Sequence[TaskSpec]],
    workers: Iterable[Worker],
    attempts: Iterable[Attempt],
    last_seq: int,
) -> Tree:
    """Return the tree with the jobs ``jobs``. Workers and attempts of other jobs are omitted.

    ``tasks``: the tasks of each job, by job id. ``last_seq``: the number of the tree's last event.
    """
    place = {job.id: position for position, job in enumerate(jobs)}
    mine = (worker for worker in workers if worker.job_id in place)
    ordered = sorted(mine, key=lambda worker: (place[worker.job_id], worker.index))
    return Tree(
        jobs=jobs,
        tasks=tasks,
        workers=[worker for worker in ordered if not worker.is_adviser],
        planners=[worker for worker in ordered if worker.is_planner],
        reviewers=[worker for worker in ordered if worker.is_reviewer],
        attempts=_ordered_attempts(attempts, ordered),
        last_seq=last_seq,
    )


def _ordered_attempts(found: Iterable[Attempt], workers: Sequence[Worker]) -> list[Attempt]:
    place = {worker.id: position for position, worker in enumerate(workers)}
    mine = (attempt for attempt in found if attempt.worker_id in place)
    return sorted(mine, key=lambda attempt: (place[attempt.worker_id], attempt.number))
