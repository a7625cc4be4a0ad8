"""The dependency graph of one job's tasks: checks, progress, and critical path.

This module also creates the planner's task and worker.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from posixpath import normpath

from orchestrator.core.errors import InvalidRequest, PlanCycle
from orchestrator.core.model.job import PLANNER, PLANNER_INDEX, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.states import WorkerKind


def check(tasks: Sequence[TaskSpec]) -> None:
    """Check the ids and dependencies of a job's tasks.

    Raise InvalidRequest if two tasks have the same id, or if a task depends on an unknown id. Raise
    PlanCycle if the dependencies form a cycle.
    """
    known_ids: set[str] = set()
    for task in tasks:
        if task.id in known_ids:
            raise InvalidRequest(f"duplicate task id {task.id!r}; give each task its own id")
        known_ids.add(task.id)
    for task in tasks:
        _check_known(task, known_ids)
    try:
        # Most tasks of a large job have no dependencies, so they cannot be part of a cycle.
        TopologicalSorter({each.id: each.depends_on for each in tasks if each.depends_on}).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise PlanCycle(
            f"dependency cycle: {cycle}; remove one of these entries in 'depends_on'"
        ) from error


def check_overlaps(tasks: Sequence[TaskSpec]) -> None:
    """Raise InvalidRequest if two tasks name the same file, and neither depends on the other.

    The dependencies must have no cycle.
    """
    tasks_by_file: dict[str, list[TaskSpec]] = {}
    needed_ids = _all_needed(tasks)
    for task in tasks:
        for file in dict.fromkeys(map(normpath, task.files)):
            for other in tasks_by_file.setdefault(file, []):
                if other.id not in needed_ids[task.id] and task.id not in needed_ids[other.id]:
                    raise InvalidRequest(
                        f"independent tasks {other.id!r} and {task.id!r} both name the file "
                        f"{file!r}; order the tasks by 'depends_on', or name the file in one task "
                        "only",
                        kind="overlap",
                    )
            tasks_by_file[file].append(task)


def _all_needed(tasks: Sequence[TaskSpec]) -> Mapping[str, frozenset[str]]:
    needs = {task.id: task.depends_on for task in tasks}
    needed_ids: dict[str, frozenset[str]] = {}
    for task_id in TopologicalSorter(needs).static_order():
        direct = needs[task_id]
        needed_ids[task_id] = frozenset(direct).union(*(needed_ids[each] for each in direct))
    return needed_ids


def _check_known(task: TaskSpec, known_ids: set[str]) -> None:
    for needed_id in task.depends_on:
        if needed_id not in known_ids:
            names = ", ".join(sorted(known_ids)[:10])
            raise InvalidRequest(
                f"task {task.id!r} depends on unknown task {needed_id!r}; known: {names}",
                kind="unknown-dependency",
            )


def sources(tasks: Mapping[str, TaskSpec], task: TaskSpec) -> tuple[str, ...]:
    """Return the ids of the tasks on whose changes a task builds.

    These are the task's dependencies. A dependency that is a question has no changes, so the
    dependencies of the question replace it.
    """
    source_ids: dict[str, None] = {}
    for needed_id in task.depends_on:
        dependency = tasks[needed_id]
        source_ids |= dict.fromkeys(
            sources(tasks, dependency) if dependency.approve else (needed_id,)
        )
    return tuple(source_ids)


def dependents(tasks: Iterable[TaskSpec]) -> Mapping[str, tuple[str, ...]]:
    """Return the ids of each task's dependents, by the task's id.

    Dependents are in task order. Tasks without dependents are omitted.
    """
    dependent_ids: dict[str, list[str]] = {}
    for task in tasks:
        for needed_id in dict.fromkeys(task.depends_on):
            dependent_ids.setdefault(needed_id, []).append(task.id)
    return {needed_id: tuple(ids) for needed_id, ids in dependent_ids.items()}


def in_order(tasks: Sequence[TaskSpec]) -> Iterator[TaskSpec]:
    """Yield every task after its dependencies, otherwise in task order.

    The dependencies must have no cycle.
    """
    places = {task.id: place for place, task in enumerate(tasks)}
    sorter = TopologicalSorter({task.id: task.depends_on for task in tasks})
    sorter.prepare()
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=places.__getitem__)
        yield from (tasks[places[each]] for each in ready)
        sorter.done(*ready)


#: Maximum number of attempts of a planner. After a rejected plan, the next attempt gets the reason.
TRIES_TO_PLAN = 2


def planner_of(job: Job, agent: str, name: str) -> Worker:
    return Worker(
        id=name,
        job_id=job.id,
        root_id=job.root_id,
        task_id=PLANNER,
        index=PLANNER_INDEX,
        kind=WorkerKind.PLANNER,
        depth=job.depth,
        agent=agent,
    )


def planning_task(planner: Worker) -> TaskSpec:
    retries = TRIES_TO_PLAN - 1
    return TaskSpec(
        id=PLANNER, title="Plan", role=PLANNER, agents=(planner.agent,), retries=retries
    )


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
        #: The rank of each task, as ``ranks`` in ``queue/ready_queue.py`` returns it.
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


def critical_path(needed: Sequence[Sequence[int]], seconds: Sequence[float]) -> Sequence[int]:
    """Return the chain of dependent tasks that took the longest, in order.

    Tasks are numbers, from 0. ``needed[i]``: the dependencies of task ``i``. ``seconds[i]``: the
    duration of task ``i``.
    """
    path_seconds = [0.0] * len(needed)
    previous = [-1] * len(needed)
    for task in _in_topological_order(needed):
        for dependency in needed[task]:
            if previous[task] < 0 or path_seconds[dependency] > path_seconds[previous[task]]:
                previous[task] = dependency
        path_seconds[task] = seconds[task] + (
            path_seconds[previous[task]] if previous[task] >= 0 else 0.0
        )
    chain = []
    task = max(range(len(path_seconds)), key=path_seconds.__getitem__, default=-1)
    while task >= 0:
        chain.append(task)
        task = previous[task]
    return chain[::-1]


def _in_topological_order(needed: Sequence[Sequence[int]]) -> Iterator[int]:
    open_counts = [len(dependencies) for dependencies in needed]
    needed_by: dict[int, list[int]] = {}
    for task, dependencies in enumerate(needed):
        for dependency in dependencies:
            needed_by.setdefault(dependency, []).append(task)
    ready = [task for task, count in enumerate(open_counts) if not count]
    for task in ready:
        yield task
        for dependent in needed_by.get(task, ()):
            open_counts[dependent] -= 1
            if not open_counts[dependent]:
                ready.append(dependent)
