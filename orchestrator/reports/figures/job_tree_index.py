"""Index of a job tree for all reports: relations and times of jobs and workers."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from orchestrator.core.candidates.comparison import Comparison, comparisons
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, wall_seconds
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.job_outcome import final_status, tasks_succeeded
from orchestrator.core.outcome.job.unmerged_changes import UnmergedChanges
from orchestrator.core.ports import Tree
from orchestrator.core.text.formatting import one_line

Interval = tuple[float, float]


class JobTreeIndex:
    """A job tree with indexes that are built once. Times are Unix times."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._jobs = {job.id: job for job in tree.jobs}
        self._tasks = {
            (job_id, task.id): task for job_id, tasks in tree.tasks.items() for task in tasks
        }
        self._workers: dict[str, list[Worker]] = defaultdict(list)
        self._reviewers: dict[str, list[Worker]] = defaultdict(list)
        self._worker_by_id = {worker.id: worker for worker in tree.workers}
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        self._runs: dict[str, list[Interval]] = defaultdict(list)
        self._child_jobs: dict[str, list[Job]] = defaultdict(list)
        self._statuses: dict[str, JobStatus] = {}
        self._succeeded: dict[str, Mapping[str, bool]] = {}
        self._ends: dict[str, float] = {}
        self._task_ends: dict[tuple[str, str], float] = {}
        self._first_prompted: dict[str, Mapping[str, int]] = {}
        self._labels: dict[str, str] = {}
        self._index()

    @property
    def unmerged_changes(self) -> UnmergedChanges:
        return UnmergedChanges(self._jobs, self._workers)

    def _index(self) -> None:
        for worker in self.tree.workers:
            self._workers[worker.job_id].append(worker)
        for reviewer in self.tree.reviewers:
            self._reviewers[reviewer.job_id].append(reviewer)
        for worker in (*self.tree.workers, *self.tree.reviewers):
            if worker.ended_at is not None:
                task = (worker.job_id, worker.task_id)
                self._task_ends[task] = max(worker.ended_at, self._task_ends.get(task, 0.0))
        for attempt in self.tree.attempts:
            self._attempts[attempt.worker_id].append(attempt)
            self._runs[attempt.worker_id].append((attempt.started_at, attempt_ended(attempt)))
        for job in self.tree.jobs:
            if job.parent_worker_id is not None:
                self._child_jobs[job.parent_worker_id].append(job)
        for worker_id, children in self._child_jobs.items():
            self._sort_as_started(worker_id, children)

    def tasks_succeeded(self, job_id: str) -> Mapping[str, bool]:
        if job_id not in self._succeeded:
            # Cache the result, because a child job's report counts the tasks of all jobs above the
            # child job.
            self._succeeded[job_id] = tasks_succeeded(self.workers(job_id))
        return self._succeeded[job_id]

    @cached_property
    def in_project(self) -> frozenset[str]:
        """Ids of the workers that work in the user's checkout (``workdir: project``)."""
        workers = self.tree.workers
        pairs = ((worker.id, worker) for worker in workers if not worker.is_adviser)
        return frozenset(
            worker_id for worker_id, worker in pairs if self.task(worker).works_in_project
        )

    def _sort_as_started(self, worker_id: str, children: list[Job]) -> None:
        """Sort ``children`` in place, in the order in which the worker started the child jobs.

        The store does not order jobs that were created at the same instant.
        """
        worker = self._worker_by_id.get(worker_id)
        job_ids = worker.child_job_ids if worker else ()
        positions = {job_id: number for number, job_id in enumerate(job_ids)}
        children.sort(key=lambda job: positions.get(job.id, len(positions)))

    def job(self, job_id: str) -> Job:
        """Return the job with this id. Raise KeyError if the job is not in the tree."""
        return self._jobs[job_id]

    def task(self, worker: Worker) -> TaskSpec:
        return self._tasks.get((worker.job_id, worker.task_id)) or TaskSpec(id=worker.task_id)

    def label(self, worker: Worker) -> str:
        """Return the title of the worker's task, on one line.

        Without a title, return the task's prompt, command, or id.
        """
        if worker.id not in self._labels:
            # Cache the label, because several reports show it.
            task = self.task(worker)
            command = (
                task.command if isinstance(task.command, str) else " ".join(task.command or ())
            )
            label = task.title or one_line(task.prompt or command or task.id)[:80]
            self._labels[worker.id] = label
        return self._labels[worker.id]

    def task_ended(self, job_id: str, task_id: str) -> float | None:
        """Return the end time of the task's last candidate, or of the review of the candidates.

        Return None if the task has not ended.
        """
        return self._task_ends.get((job_id, task_id))

    def worker(self, worker_id: str) -> Worker:
        return self._worker_by_id[worker_id]

    def workers(self, job_id: str) -> Sequence[Worker]:
        return self._workers.get(job_id, ())

    def reviewers(self, job_id: str) -> Sequence[Worker]:
        return self._reviewers.get(job_id, ())

    def advisers(self, jobs: Iterable[Job]) -> Sequence[Worker]:
        ids = {job.id for job in jobs}
        return [adviser for adviser in self.tree.advisers if adviser.job_id in ids]

    def comparisons(self, job: Job) -> Sequence[Comparison]:
        """Return a comparison for each task of the job that has several candidates."""
        workers, tasks = self.workers(job.id), self.tree.tasks.get(job.id, ())
        if len(workers) <= len(tasks):  # usually one worker per task
            return ()
        worker_counts = Counter(worker.task_id for worker in workers)
        compared_tasks = [task for task in tasks if worker_counts[task.id] > 1]
        candidates = [worker for worker in workers if worker_counts[worker.task_id] > 1]
        return comparisons(compared_tasks, candidates, self.reviewers(job.id))

    def attempts(self, worker: Worker) -> Sequence[Attempt]:
        return self._attempts.get(worker.id, ())

    def first_prompted(self, job_id: str) -> Mapping[str, int]:
        """Return {agent: field ``index`` of the agent's first worker in the job}.

        Only workers with a prompt count. The first worker is the worker that started earliest.
        """
        if job_id not in self._first_prompted:
            first: dict[str, tuple[float, int]] = {}
            for worker in self.workers(job_id):
                if worker.result and worker.result.prompt:
                    starts = [start for start, _ in self.runs(worker)]
                    started_at = min(starts, default=worker.started_at) or 0.0
                    earliest = first.setdefault(worker.agent, (started_at, worker.index))
                    first[worker.agent] = min(earliest, (started_at, worker.index))
            self._first_prompted[job_id] = {agent: index for agent, (_, index) in first.items()}
        return self._first_prompted[job_id]

    def child_jobs(self, worker: Worker) -> Sequence[Job]:
        return self._child_jobs.get(worker.id, ())

    def descendants(self, job: Job) -> Iterator[Job]:
        """Yield the job itself, then all jobs below it, parents first."""
        yield job
        for worker in self.workers(job.id):
            for child in self.child_jobs(worker):
                yield from self.descendants(child)

    def ancestry(self, job: Job) -> Sequence[Job]:
        """Return the jobs from the root job down to the job itself."""
        jobs = [job]
        while (parent := jobs[0].parent_worker_id) is not None:
            jobs.insert(0, self._jobs[self._worker_by_id[parent].job_id])
        return jobs

    def status(self, job: Job) -> JobStatus:
        """Return the status of a job.

        If all workers of an unfinished job have ended, return the job's final status in advance.
        """
        if job.id not in self._statuses:
            workers = self.workers(job.id)
            is_current = job.status.ended or not all(worker.status.ended for worker in workers)
            self._statuses[job.id] = job.status if is_current else final_status(job, workers)
        return self._statuses[job.id]

    def began(self, job: Job) -> float:
        return job.created_at if job.started_at is None else job.started_at

    def ended(self, job: Job) -> float:
        """Return the time when the job ended.

        For an unfinished job, return the latest known end of an attempt, worker, or child job. The
        returned time is never before the job's start, even if a clock was set back.
        """
        if job.id not in self._ends:
            self._ends[job.id] = max([job.created_at, self.began(job), *self._known_ends(job)])
        return self._ends[job.id]

    def wall_seconds(self, job: Job) -> float:
        """Return the job's wall time; for an unfinished job, the time to its latest known end."""
        seconds = wall_seconds(job, self._workers_and_reviewers(job))
        return self.ended(job) - self.began(job) if seconds is None else seconds

    def _known_ends(self, job: Job) -> Iterator[float]:
        if job.status.ended and job.ended_at is not None:
            yield job.ended_at
            return
        for worker in self._workers_and_reviewers(job):
            if worker.ended_at is not None:
                yield worker.ended_at
            yield from (end for _, end in self.runs(worker))
            yield from (self.ended(child) for child in self.child_jobs(worker))

    def _workers_and_reviewers(self, job: Job) -> Sequence[Worker]:
        """Return the job's workers and reviewers. If the planning failed, return the planner."""
        workers = self.workers(job.id)
        return [*workers, *self.reviewers(job.id)] if workers else self.advisers([job])

    def runs(self, worker: Worker) -> Sequence[Interval]:
        """Return the period of each attempt. An attempt without a known end has length 0."""
        return self._runs.get(worker.id, ())

    def child_job_periods(self, worker: Worker) -> Sequence[Interval]:
        """Return the periods in which a child job of the worker was unfinished.

        Overlapping periods are merged. In these periods, the worker has no slot.
        """
        children = self.child_jobs(worker)
        return joined([(job.created_at, self.ended(job)) for job in children]) if children else ()


def attempt_ended(attempt: Attempt) -> float:
    ended = attempt.ended_at
    if ended is None:
        ended = attempt.exit.ended_at if attempt.exit else attempt.started_at
    return max(ended, attempt.started_at)


def joined(spans: Sequence[Interval]) -> list[Interval]:
    """Return the periods of time in order. Overlapping periods are merged."""
    result: list[Interval] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def overlap_seconds(spans: Sequence[Interval], others: Sequence[Interval]) -> float:
    """Return the total seconds in which periods of ``spans`` overlap with periods of ``others``.

    The periods in one list must not overlap with each other.
    """
    if not others:  # usually no child jobs
        return 0
    return sum(
        max(0.0, min(end, other_end) - max(start, other_start))
        for start, end in spans
        for other_start, other_end in others
    )
