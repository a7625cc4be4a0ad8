"""The dependency graph of one job's tasks: checks, order, and critical path."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from posixpath import normpath

from orchestrator.core.errors import InvalidRequest, PlanCycle
from orchestrator.core.model.job import TaskSpec


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


def critical_path(needed: Sequence[Sequence[int]], seconds: Sequence[float]) -> Sequence[int]:
    """Return the chain of dependent tasks that took the longest, in order.

    Tasks are numbers, from 0. ``needed[i]``: the dependencies of task ``i``. ``seconds[i]``: the
    duration of task ``i``.
    """
    path_seconds = [0.0] * len(needed)
    previous = [-1] * len(needed)
    last = -1
    for task in _in_topological_order(needed):
        for dependency in needed[task]:
            if previous[task] < 0 or path_seconds[dependency] > path_seconds[previous[task]]:
                previous[task] = dependency
        path_seconds[task] = seconds[task] + (
            path_seconds[previous[task]] if previous[task] >= 0 else 0.0
        )
        if last < 0 or path_seconds[task] > path_seconds[last]:
            last = task
    chain = []
    while last >= 0:
        chain.append(last)
        last = previous[last]
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
