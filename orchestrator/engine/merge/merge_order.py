"""The order in which workers' changes are merged."""

from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter
from heapq import heappop, heappush

from orchestrator.core.candidates.selection import candidates_of
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import TaskSpec, Worker


@dataclass(frozen=True, slots=True)
class MergePart:
    """The changes of one worker, as a unit of the merge."""

    worker: Worker
    #: Ids of the tasks on which the task of ``worker`` depends.
    depends_on: frozenset[str] = frozenset()


def built_on_others_last(
    parts: Sequence[MergePart], is_built_on_others: Callable[[Worker], bool]
) -> list[MergePart]:
    """Sort parts so that parts with other workers' changes are at the end.

    Parts that depend on such a part are also moved to the end. Otherwise, the order does not
    change. ``is_built_on_others``: returns True if a worker's part contains changes of other
    workers.
    """
    early: list[MergePart] = []
    late: list[MergePart] = []
    late_tasks: set[str] = set()
    for part in parts:
        if is_built_on_others(part.worker) or part.depends_on & late_tasks:
            late_tasks.add(part.worker.task_id)
            late.append(part)
        else:
            early.append(part)
    return early + late


def best_last(parts: Sequence[MergePart]) -> list[MergePart]:
    """Return the parts in the order of their dependencies. Of independent parts, the best is last.

    The best part has the fewest findings of gates. Among parts with equally few findings, the best
    part passes the most tests that the base already has. Equal parts keep their order.
    """
    numbers = {part.worker.task_id: number for number, part in enumerate(parts)}
    candidates = candidates_of([part.worker for part in parts])
    dependencies = {
        number: [numbers[task_id] for task_id in part.depends_on if task_id in numbers]
        for number, part in enumerate(parts)
    }
    sorter = TopologicalSorter(dependencies)
    sorter.prepare()
    ready: list[tuple[int, int, int]] = []
    ordered: list[MergePart] = []
    while sorter.is_active():
        for number in sorter.get_ready():
            candidate = candidates[number]
            findings = candidate.failures + candidate.lint
            heappush(ready, (-findings, candidate.base_tests, number))
        number = heappop(ready)[-1]
        sorter.done(number)
        ordered.append(parts[number])
    return ordered


def split_by_dependencies(
    parts: Sequence[MergePart], tasks: Sequence[TaskSpec]
) -> tuple[list[MergePart], list[tuple[MergePart, str]]]:
    """Return two lists: the parts whose dependencies are all in ``parts``, and the other parts.

    The second list has pairs: a part, and the id of a missing task on which the part depends.
    ``tasks``: all tasks of the job.
    """
    present = {part.worker.task_id for part in parts}
    missing = {task.id for task in tasks} - present
    whole: list[MergePart] = []
    incomplete: list[tuple[MergePart, str]] = []
    for part in parts:
        lacking = sorted(part.depends_on & missing)
        if lacking:
            missing.add(part.worker.task_id)
            incomplete.append((part, lacking[0]))
        else:
            whole.append(part)
    return whole, incomplete
