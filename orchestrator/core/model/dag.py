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
    known: set[str] = set()
    for task in tasks:
        if task.id in known:
            raise InvalidRequest(f"duplicate task id {task.id!r}; give each task its own id")
        known.add(task.id)
    for task in tasks:
        _check_known(task, known)
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
    first: dict[str, list[TaskSpec]] = {}
    above = _all_needed(tasks)
    for task in tasks:
        for file in dict.fromkeys(map(normpath, task.files)):
            for other in first.setdefault(file, []):
                if other.id not in above[task.id] and task.id not in above[other.id]:
                    raise InvalidRequest(
                        f"independent tasks {other.id!r} and {task.id!r} both name the file "
                        f"{file!r}; order the tasks by 'depends_on', or name the file in one task "
                        "only",
                        kind="overlap",
                    )
            first[file].append(task)


def _all_needed(tasks: Sequence[TaskSpec]) -> Mapping[str, frozenset[str]]:
    needs = {task.id: task.depends_on for task in tasks}
    above: dict[str, frozenset[str]] = {}
    for task_id in TopologicalSorter(needs).static_order():
        direct = needs[task_id]
        above[task_id] = frozenset(direct).union(*(above[each] for each in direct))
    return above


def _check_known(task: TaskSpec, known: set[str]) -> None:
    for needed in task.depends_on:
        if needed not in known:
            names = ", ".join(sorted(known)[:10])
            raise InvalidRequest(
                f"task {task.id!r} depends on unknown task {needed!r}; known: {names}",
                kind="unknown-dependency",
            )


def sources(tasks: Mapping[str, TaskSpec], task: TaskSpec) -> tuple[str, ...]:
    """Return the ids of the tasks on whose changes a task builds.

    These are the task's dependencies. A dependency that is a question has no changes, so the
    dependencies of the question replace it.
    """
    found: dict[str, None] = {}
    for needed in task.depends_on:
        asked = tasks[needed]
        found |= dict.fromkeys(sources(tasks, asked) if asked.approve else (needed,))
    return tuple(found)


def dependents(tasks: Iterable[TaskSpec]) -> Mapping[str, tuple[str, ...]]:
    """Return the ids of each task's dependents, by the task's id.

    Dependents are in task order. Tasks without dependents are omitted.
    """
    waiting: dict[str, list[str]] = {}
    for task in tasks:
        for needed in dict.fromkeys(task.depends_on):
            waiting.setdefault(needed, []).append(task.id)
    return {needed: tuple(ids) for needed, ids in waiting.items()}


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
        #: The reviewer of each task that has one.
        self.reviewers: dict[str, WorkerKey] = {}
        #: Number of workers, without planners and reviewers.
        self._candidates = 0
        self._open: dict[str, int] = dict.fromkeys(self.tasks, 0)
        self._succeeded: set[str] = set()
        self._dependents = dependents(tasks)
        #: The planner; None once it has created the tasks.
        self.planner: WorkerKey | None = None
        for worker in workers:
            self._count_worker(worker)
        self._blockers = {
            task.id: sum(not self.done(needed) for needed in set(task.depends_on)) for task in tasks
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
        """True if a worker has not ended, or if the plan's tasks are not added yet."""
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

    def begin_again(self, task_id: str) -> None:
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

        Each returned task can start now, or can never start. ``is_ready`` of its id is True if the
        task can start now.
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
    total = [0.0] * len(needed)
    before = [-1] * len(needed)
    for task in _in_topological_order(needed):
        for each in needed[task]:
            if before[task] < 0 or total[each] > total[before[task]]:
                before[task] = each
        total[task] = seconds[task] + (total[before[task]] if before[task] >= 0 else 0.0)
    chain = []
    task = max(range(len(total)), key=total.__getitem__, default=-1)
    while task >= 0:
        chain.append(task)
        task = before[task]
    return chain[::-1]


def _in_topological_order(needed: Sequence[Sequence[int]]) -> Iterator[int]:
    waiting = [len(names) for names in needed]
    needed_by: dict[int, list[int]] = {}
    for task, names in enumerate(needed):
        for each in names:
            needed_by.setdefault(each, []).append(task)
    ready = [task for task, number in enumerate(waiting) if not number]
    for task in ready:
        yield task
        for each in needed_by.get(task, ()):
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)
