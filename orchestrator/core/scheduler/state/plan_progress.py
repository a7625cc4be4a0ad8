"""Progress of a job's plan: which tasks are ready, which succeeded, and which failed."""

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.core.model.dag import dependents
from orchestrator.core.model.job import TaskSpec, Worker, WorkerKey, planning_task


class PlanProgress:
    """Progress of a job's tasks. Can be created from tasks and workers in any state."""

    def __init__(self, tasks: Sequence[TaskSpec], workers: Sequence[Worker]) -> None:
        self.tasks: Mapping[str, TaskSpec] = {task.id: task for task in tasks}
        self._workers: dict[str, list[WorkerKey]] = {task.id: [] for task in tasks}
        #: Reviewers, by task id.
        self.reviewers: dict[str, WorkerKey] = {}
        #: Number of workers, without reviewers. Before the plan exists, the planner counts.
        self._candidates = 0
        self._open: dict[str, int] = dict.fromkeys(self.tasks, 0)
        self._succeeded: set[str] = set()
        self._dependents = dependents(tasks)
        #: The planner; None if the job has no planner, or once the planner has created the tasks.
        self.planner: WorkerKey | None = None
        for worker in workers:
            self._count_worker(worker)
        self._blockers = {
            task.id: sum(not self.done(needed_id) for needed_id in set(task.depends_on))
            for task in tasks
        }
        self.open_workers = sum(self._open.values())
        #: The rank of each task, as ``ranks`` in ``queue/task_ranks.py`` returns it.
        self.ranks: Mapping[str, tuple[float, int]] = {}
        #: Expected run time of the longest task; None if any task's run time is unknown.
        self.longest_seconds: float | None = None

    def _count_worker(self, worker: Worker) -> None:
        if worker.is_planner:
            self.planner = worker.key
        if worker.is_reviewer:
            self.reviewers[worker.task_id] = worker.key
        else:
            self._workers[worker.task_id].append(worker.key)
            self._candidates += 1
        if not worker.status.ended:
            self._open[worker.task_id] += 1
        elif worker.status.succeeded and not worker.is_reviewer:
            self._succeeded.add(worker.task_id)

    @property
    def unfinished(self) -> bool:
        """True if a worker has not ended, or if the job has no tasks yet."""
        return self.planner is not None or self.open_workers > 0

    @property
    def size(self) -> int:
        return 0 if self.planner else self._candidates

    def done(self, task_id: str) -> bool:
        """True if a candidate succeeded, and all candidates and the reviewer have ended."""
        return not self._open[task_id] and task_id in self._succeeded

    def hopeless(self, task_id: str) -> bool:
        """True if no candidate succeeded, and all candidates have ended."""
        return not self._open[task_id] and task_id not in self._succeeded

    def is_ready(self, task_id: str) -> bool:
        return not self._blockers[task_id]

    @property
    def ready_workers(self) -> Iterator[WorkerKey]:
        """The workers, including reviewers, of tasks whose dependencies are done."""
        for task_id, keys in self._workers.items():
            if self.is_ready(task_id):
                yield from keys
        # Reviewers come last, because a task has a reviewer only after its candidates have ended.
        yield from self.reviewers.values()

    def workers_of(self, task_id: str) -> Sequence[WorkerKey]:
        return self._workers[task_id]

    def reopen_task(self, task_id: str) -> None:
        """Record that an ended worker of the task will run again.

        Call this in the scheduler's turn in which the task's last worker ended. After that turn,
        the task is stored as ended.
        """
        self._open[task_id] += 1
        self.open_workers += 1

    def add_reviewer(self, reviewer: Worker) -> None:
        """Add a reviewer. The task is done only after its reviewer has ended."""
        self._count_worker(reviewer)
        self.open_workers += 1

    @property
    def workers(self) -> Iterator[WorkerKey]:
        for keys in self._workers.values():
            yield from keys
        yield from self.reviewers.values()

    def ended(self, task_id: str, succeeded: bool) -> Sequence[str]:
        """Record a worker's end. Return the dependent tasks that this end decides.

        Each returned task can either start now or never start. Call ``is_ready`` with a returned
        id: the result is True if that task can start now.
        """
        self._open[task_id] -= 1
        self.open_workers -= 1
        if succeeded:
            self._succeeded.add(task_id)
        if self._open[task_id]:
            return ()
        dependent_ids = self._dependents.get(task_id, ())
        if task_id not in self._succeeded:
            return dependent_ids
        for dependent_id in dependent_ids:
            self._blockers[dependent_id] -= 1
        return [dependent_id for dependent_id in dependent_ids if self.is_ready(dependent_id)]


def plan_of(
    tasks: Sequence[TaskSpec], workers: Sequence[Worker], planner: Worker | None
) -> PlanProgress:
    """Return the plan's progress from stored tasks and workers.

    Before the plan exists, the only task is to plan the job.
    """
    if planner and not tasks:
        return PlanProgress((planning_task(planner),), (planner,))
    return PlanProgress(tasks, workers)
