"""The dependency graph of one job's tasks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from posixpath import normpath

from orchestrator.core.errors import InvalidRequest, PlanCycle
from orchestrator.core.model.job import TaskSpec


def check(tasks: Sequence[TaskSpec]) -> None:
    """Raise InvalidRequest if ids repeat or are unknown, PlanCycle if tasks form a cycle."""
    known: set[str] = set()
    for task in tasks:
        if task.id in known:
            raise InvalidRequest(f"duplicate task id {task.id!r}; give each task its own id")
        known.add(task.id)
    for task in tasks:
        _check_known(task, known)
    try:
        TopologicalSorter({task.id: task.depends_on for task in tasks}).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise PlanCycle(f"dependency cycle: {cycle}; remove one depends_on") from error


def check_overlaps(tasks: Sequence[TaskSpec]) -> None:
    """Raise InvalidRequest if two tasks name the same file and neither depends on the other.

    The tasks must form a graph without cycles.
    """
    first: dict[str, list[TaskSpec]] = {}
    above = _all_needed(tasks)
    for task in tasks:
        for file in dict.fromkeys(map(normpath, task.files)):
            for other in first.setdefault(file, []):
                if other.id not in above[task.id] and task.id not in above[other.id]:
                    raise InvalidRequest(
                        f"tasks {other.id!r} and {task.id!r} both name the file {file!r}, but "
                        "neither depends on the other; add a depends_on, or name the file in "
                        "one task only",
                        kind="overlap",
                    )
            first[file].append(task)


def _all_needed(tasks: Sequence[TaskSpec]) -> Mapping[str, frozenset[str]]:
    """Return, by task id, the ids of all tasks that must succeed before it."""
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
    """Return the ids of the tasks whose work a task continues: its dependencies, and in place of
    a question, which makes nothing, what the question depends on.
    """
    found: dict[str, None] = {}
    for needed in task.depends_on:
        asked = tasks[needed]
        found |= dict.fromkeys(sources(tasks, asked) if asked.approve else (needed,))
    return tuple(found)


def dependents(tasks: Iterable[TaskSpec]) -> Mapping[str, tuple[str, ...]]:
    """Return, by task id, the ids of the tasks that depend on it, in task order."""
    waiting: dict[str, list[str]] = {}
    for task in tasks:
        for needed in dict.fromkeys(task.depends_on):
            waiting.setdefault(needed, []).append(task.id)
    return {needed: tuple(ids) for needed, ids in waiting.items()}


def in_order(tasks: Sequence[TaskSpec]) -> Iterator[TaskSpec]:
    """Yield every task after its dependencies, otherwise in task order. Requires a graph."""
    places = {task.id: place for place, task in enumerate(tasks)}
    sorter = TopologicalSorter({task.id: task.depends_on for task in tasks})
    sorter.prepare()
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=places.__getitem__)
        yield from (tasks[places[each]] for each in ready)
        sorter.done(*ready)
