"""Progress of one job's tasks: waiting, ready to start, or done."""

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.core.model.job import PLANNER, TaskSpec, Worker, WorkerKey
from orchestrator.core.scheduler.dag import dependents

#: A rejected plan is requested once more, with the reason.
TRIES_TO_PLAN = 2


def planning_task(planner: Worker) -> TaskSpec:
    """Return the planner's task."""
    retries = TRIES_TO_PLAN - 1
    return TaskSpec(
        id=PLANNER, title="Plan", role=PLANNER, agents=(planner.agent,), retries=retries
    )


class TaskProgress:
    """Progress of tasks, created from a job's tasks and workers in any state."""

    def __init__(self, tasks: Sequence[TaskSpec], workers: Sequence[Worker]) -> None:
        self.tasks: Mapping[str, TaskSpec] = {task.id: task for task in tasks}
        self._workers: dict[str, list[WorkerKey]] = {task.id: [] for task in tasks}
        #: By task: the task's reviewer.
        self.reviewers: dict[str, WorkerKey] = {}
        self._open: dict[str, int] = dict.fromkeys(self.tasks, 0)
        self._succeeded: set[str] = set()
        self._dependents = dependents(tasks)
        #: The planner, until it has created the tasks.
        self.planner: WorkerKey | None = None
        for worker in workers:
            self._count(worker)
        self._blockers = {task.id: self._count_blockers(task) for task in tasks}
        self.open_workers = sum(self._open.values())

    def _count(self, worker: Worker) -> None:
        if worker.is_planner:
            self.planner = worker.key
        if worker.is_reviewer:
            self.reviewers[worker.task_id] = worker.key
        else:
            self._workers[worker.task_id].append(worker.key)
        if not worker.status.ended:
            self._open[worker.task_id] += 1
        elif worker.status.succeeded and not worker.is_reviewer:
            self._succeeded.add(worker.task_id)

    def _count_blockers(self, task: TaskSpec) -> int:
        return sum(not self.done(needed) for needed in set(task.depends_on))

    @property
    def unfinished(self) -> bool:
        """True if work remains: for workers, or because the plan's tasks are not added yet."""
        return self.planner is not None or self.open_workers > 0

    @property
    def size(self) -> int:
        """Number of workers, without planners and reviewers."""
        return 0 if self.planner else sum(map(len, self._workers.values()))

    def done(self, task_id: str) -> bool:
        """True if all candidates and the reviewer have ended, and one candidate succeeded."""
        return not self._open[task_id] and task_id in self._succeeded

    def hopeless(self, task_id: str) -> bool:
        return not self._open[task_id] and task_id not in self._succeeded

    def is_ready(self, task_id: str) -> bool:
        return not self._blockers[task_id]

    @property
    def ready_workers(self) -> Iterator[WorkerKey]:
        """Workers whose dependencies are done, including reviewers."""
        for task_id, keys in self._workers.items():
            if self.is_ready(task_id):
                yield from keys
        # Reviewers last: candidates end before their reviewer exists.
        yield from self.reviewers.values()

    def workers_of(self, task_id: str) -> Sequence[WorkerKey]:
        """Return the candidates of the task."""
        return self._workers[task_id]

    def begin_again(self, task_id: str) -> None:
        """Count a worker of the task that had ended and runs again, in the turn in which the last
        of the others ends.
        """
        self._open[task_id] += 1
        self.open_workers += 1

    def add_reviewer(self, reviewer: Worker) -> None:
        """Add a reviewer: the task is not done before the reviewer has ended."""
        self._count(reviewer)
        self.open_workers += 1

    @property
    def workers(self) -> Iterator[WorkerKey]:
        for keys in self._workers.values():
            yield from keys
        yield from self.reviewers.values()

    def ended(self, task_id: str, succeeded: bool) -> Sequence[str]:
        """Record that a worker has ended. Return the dependent tasks that are now decided.

        ``is_ready`` is True for a task that can start; otherwise it can never start.
        """
        self._open[task_id] -= 1
        self.open_workers -= 1
        if succeeded:
            self._succeeded.add(task_id)
        if self._open[task_id]:
            return ()
        following = self._dependents.get(task_id, ())
        if task_id not in self._succeeded:
            return following
        for other in following:
            self._blockers[other] -= 1
        return [other for other in following if self.is_ready(other)]
