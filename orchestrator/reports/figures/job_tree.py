"""Index of a job tree: its relations and times, for all reports."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from orchestrator.core.candidates.comparison import Comparison, comparisons
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.job_outcome import job_outcome
from orchestrator.core.outcome.job.whereabouts import Whereabouts
from orchestrator.core.ports import Tree
from orchestrator.core.repository.repository import Workdir
from orchestrator.core.text.formatting import one_line

Interval = tuple[float, float]


class Family:
    """A tree, indexed once. Times are seconds since the epoch."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._jobs = {job.id: job for job in tree.jobs}
        self._tasks = {(j, task.id): task for j, tasks in tree.tasks.items() for task in tasks}
        self._workers: dict[str, list[Worker]] = defaultdict(list)
        self._worker_by_id = {worker.id: worker for worker in tree.workers}
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        self._runs: dict[str, list[Interval]] = defaultdict(list)
        self._child_jobs: dict[str, list[Job]] = defaultdict(list)
        self._statuses: dict[str, JobStatus] = {}
        self._ends: dict[str, float] = {}
        self._task_ends: dict[tuple[str, str], float] = {}
        self._first_prompted: dict[str, Mapping[str, int]] = {}
        self._index()

    @property
    def whereabouts(self) -> Whereabouts:
        """Return, for each change, the result that contains the change, or the place where it is
        otherwise.
        """
        return Whereabouts(self._jobs, self._workers)

    def _index(self) -> None:
        for worker in self.tree.workers:
            self._workers[worker.job_id].append(worker)
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

    @cached_property
    def in_project(self) -> frozenset[str]:
        """Workers whose files are the project's own."""
        workers = self.tree.workers
        tasks = ((each.id, each) for each in workers if not each.is_adviser)
        return frozenset(name for name, each in tasks if self.task(each).workdir == Workdir.PROJECT)

    def _sort_as_started(self, worker_id: str, children: list[Job]) -> None:
        """Sort child jobs by the worker's record, because the store returns jobs of one instant in
        any order.
        """
        worker = self._worker_by_id.get(worker_id)
        known = worker.child_job_ids if worker else ()
        started = {job_id: number for number, job_id in enumerate(known)}
        children.sort(key=lambda job: started.get(job.id, len(started)))

    def job(self, job_id: str) -> Job:
        """Return a job. Raise KeyError if the job is not in the tree."""
        return self._jobs[job_id]

    def task(self, worker: Worker) -> TaskSpec:
        return self._tasks.get((worker.job_id, worker.task_id)) or TaskSpec(id=worker.task_id)

    def label(self, worker: Worker) -> str:
        """Return one line for the worker's task: its title, or else its prompt, command, or id."""
        task = self.task(worker)
        command = task.command if isinstance(task.command, str) else " ".join(task.command or ())
        return task.title or one_line(task.prompt or command or task.id)[:80]

    def task_ended(self, job_id: str, task_id: str) -> float | None:
        """Return when the last candidate of a task ended."""
        return self._task_ends.get((job_id, task_id))

    def worker(self, worker_id: str) -> Worker:
        return self._worker_by_id[worker_id]

    def workers(self, job_id: str) -> Sequence[Worker]:
        return self._workers.get(job_id, ())

    def advisers(self, jobs: Iterable[Job]) -> Sequence[Worker]:
        """Return the planners and reviewers of these jobs."""
        ids = {job.id for job in jobs}
        return [adviser for adviser in self.tree.advisers if adviser.job_id in ids]

    def comparisons(self, job: Job) -> Sequence[Comparison]:
        """Return comparisons of the job's tasks that several workers tried."""
        workers, tasks = self.workers(job.id), self.tree.tasks.get(job.id, ())
        if len(workers) <= len(tasks):  # usually one worker per task
            return ()
        tried = Counter(worker.task_id for worker in workers)
        several = [task for task in tasks if tried[task.id] > 1]
        own = [worker for worker in workers if tried[worker.task_id] > 1]
        reviewers = [each for each in self.tree.reviewers if each.job_id == job.id]
        return comparisons(several, own, reviewers)

    def attempts(self, worker: Worker) -> Sequence[Attempt]:
        return self._attempts.get(worker.id, ())

    def first_prompted(self, job_id: str) -> Mapping[str, int]:
        """Return, by agent, the index of the job's first started worker that received a prompt."""
        if job_id not in self._first_prompted:
            first: dict[str, tuple[float, int]] = {}
            for worker in self.workers(job_id):
                if worker.result and worker.result.prompt:
                    starts = [start for start, _ in self.runs(worker)]
                    at = min(starts, default=worker.started_at) or 0.0
                    known = first.setdefault(worker.agent, (at, worker.index))
                    first[worker.agent] = min(known, (at, worker.index))
            self._first_prompted[job_id] = {agent: index for agent, (_, index) in first.items()}
        return self._first_prompted[job_id]

    def child_jobs(self, worker: Worker) -> Sequence[Job]:
        return self._child_jobs.get(worker.id, ())

    def descendants(self, job: Job) -> Iterator[Job]:
        """Yield the job itself, then every job below it, parents first."""
        yield job
        for worker in self.workers(job.id):
            for child in self.child_jobs(worker):
                yield from self.descendants(child)

    def ancestry(self, job: Job) -> Sequence[Job]:
        """Return the jobs from the root job down to the job itself."""
        line = [job]
        while (parent := line[0].parent_worker_id) is not None:
            line.insert(0, self._jobs[self._worker_by_id[parent].job_id])
        return line

    def status(self, job: Job) -> JobStatus:
        """Return an ended job's stored status; before its end, the status that its ended workers
        give.
        """
        if job.id not in self._statuses:
            self._statuses[job.id] = self._status(job)
        return self._statuses[job.id]

    def _status(self, job: Job) -> JobStatus:
        workers = self.workers(job.id)
        if job.status.ended or not all(worker.status.ended for worker in workers):
            return job.status
        return job_outcome(
            workers,
            job.cancelled,
            incomplete=job.lacks_changes,
            fails_unjudged=job.fails_unjudged,
        )

    def began(self, job: Job) -> float:
        return job.created_at if job.started_at is None else job.started_at

    def ended(self, job: Job) -> float:
        """Return when the job, or the last of its workers and child jobs, ended.

        Never before its start, because clocks are sometimes set back.
        """
        if job.id not in self._ends:
            self._ends[job.id] = max([job.created_at, self.began(job), *self._known_ends(job)])
        return self._ends[job.id]

    def wall_seconds(self, job: Job) -> float:
        return self.ended(job) - self.began(job)

    def _known_ends(self, job: Job) -> Iterator[float]:
        if job.status.ended and job.ended_at is not None:
            yield job.ended_at
            return
        for worker in self.workers(job.id):
            if worker.ended_at is not None:
                yield worker.ended_at
            yield from (end for _, end in self.runs(worker))
            yield from (self.ended(child) for child in self.child_jobs(worker))

    def runs(self, worker: Worker) -> Sequence[Interval]:
        """Return start and end of every attempt. An attempt without a known end has length 0."""
        return self._runs.get(worker.id, ())

    def lent(self, worker: Worker) -> Sequence[Interval]:
        """Return the periods in which the worker's child jobs were unfinished, without overlaps.

        The worker had no slot in these periods.
        """
        children = self.child_jobs(worker)
        return joined([(job.created_at, self.ended(job)) for job in children]) if children else ()


def attempt_ended(attempt: Attempt) -> float:
    ended = attempt.ended_at
    if ended is None:
        ended = attempt.exit.ended_at if attempt.exit else attempt.started_at
    return max(ended, attempt.started_at)


def joined(spans: Sequence[Interval]) -> list[Interval]:
    """Return the same periods of time without overlaps, in order."""
    result: list[Interval] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def overlap_seconds(spans: Sequence[Interval], others: Sequence[Interval]) -> float:
    """Return the common seconds of two lists of periods. Neither list may have overlaps."""
    return sum(
        max(0.0, min(end, other_end) - max(start, other_start))
        for start, end in spans
        for other_start, other_end in others
    )
