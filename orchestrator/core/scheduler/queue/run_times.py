"""Run times of earlier tasks, and the ranks of a job's tasks, which follow from run times.

If run times of earlier runs are known, the task with the longest chain of dependent tasks starts
first. For real workflows, this order is within a few percent of the best order, even if run times
are wrong by a factor of two. Without run times, the task with the most direct and indirect
dependent tasks starts first.
"""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from hashlib import blake2b
from statistics import median

from orchestrator.core.model.dag import dependents
from orchestrator.core.model.job import Job, TaskSpec

#: Number of digits after the decimal point of a run time. Tasks with equal rounded times start in
#: the order of the plan.
DIGITS = 1
#: Number of stored run times of a task; a new run time replaces the oldest.
SAMPLES = 5
#: Maximum number of names with run times; the least recently used names are dropped.
MOST_NAMES = 20_000


class RunTimes:
    """Run times of earlier tasks. Each run time has several names (see ``_names_of``)."""

    def __init__(self, known: Iterable[tuple[str, float]] = ()) -> None:
        """``known``: pairs of a name and a run time, oldest first."""
        self._samples: dict[str, tuple[float, ...]] = {}
        self._names: dict[str, Mapping[str, Sequence[str]]] = {}
        for name, seconds in known:
            self._add_sample(name, seconds)

    def expected(self, job: Job, tasks: Sequence[TaskSpec]) -> dict[str, float]:
        """Return the median run time of each task that ran before, by task id."""
        self._names[job.id] = names = _names_of(job, tasks)
        medians: dict[str, float] = {}
        for task_id, task_names in names.items():
            samples = next(
                (self._samples[name] for name in task_names if name in self._samples), None
            )
            if samples is not None:
                medians[task_id] = round(median(samples), DIGITS)
        return medians

    def learn(self, job_id: str, task_id: str, seconds: float) -> Sequence[tuple[str, float]]:
        """Add a task's run time. Return each name under which it is stored, with the run time."""
        names = self._names.get(job_id, {}).get(task_id, ())
        for name in names:
            self._add_sample(name, seconds)
        return [(name, seconds) for name in names]

    def forget(self, job_id: str) -> None:
        self._names.pop(job_id, None)

    def _add_sample(self, name: str, seconds: float) -> None:
        # Move the name to the end, so that the least recently used names are at the beginning.
        samples = self._samples.pop(name, ())
        self._samples[name] = (*samples[1 - SAMPLES :], seconds)
        if len(self._samples) > MOST_NAMES:
            del self._samples[next(iter(self._samples))]


def _names_of(job: Job, tasks: Sequence[TaskSpec]) -> dict[str, Sequence[str]]:
    """Return, by task id, the three names under which run times of a task may be stored.

    The names are made from these values, so tasks with equal values have the same name:

    - First name: the task's id, and the plan of its job.
    - Second name: the task's id, and the request of its job.
    - Third name: the task's agents, and its command or prompt.
    """
    descriptions = {
        task.id: f"{','.join(task.agents)}\0{task.command or task.prompt or task.title}"
        for task in tasks
    }
    plan = _digest(*(f"{each.id}\0{descriptions[each.id]}\0{each.depends_on}" for each in tasks))
    return {
        task_id: (
            _digest("plan", plan, task_id),
            _digest("request", job.request, task_id),
            _digest("work", description),
        )
        for task_id, description in descriptions.items()
    }


def _digest(*parts: str) -> str:
    text = "\0\0".join(parts).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).hexdigest()


#: Rank of a task: the seconds to the end of the longest path from the task, and the number of the
#: task's descendants. The task with the larger rank starts first.
Rank = tuple[float, int]
NO_RANK: Rank = (0.0, 0)


def ranks(tasks: Iterable[TaskSpec], seconds: Mapping[str, float]) -> dict[str, Rank]:
    """Return the rank of each task. ``seconds``: known run times, by task id.

    If the run time of a task is unknown, the median of the known run times is used. The result is
    empty if all tasks are equal: no task has dependents, and all known run times are the same.
    """
    tasks_by_id = {task.id: task for task in tasks}
    dependent_ids = dependents(tasks_by_id.values())
    if not dependent_ids and len(set(seconds.values())) < 2:
        return {}
    default_seconds = median(seconds.values()) if seconds else 0.0
    bits = {task_id: 1 << place for place, task_id in enumerate(tasks_by_id)}
    descendant_bits: dict[str, int] = {}
    task_ranks: dict[str, Rank] = {}
    # Each task comes after all tasks that depend on it. Tasks without dependent tasks come first,
    # without sorting: most tasks of a large job are of this kind, and sorting takes time.
    leaves = [each for each in tasks_by_id if each not in dependent_ids]
    inner = (
        each for each in TopologicalSorter(dependent_ids).static_order() if each in dependent_ids
    )
    for task_id in (*leaves, *inner):
        direct = dependent_ids.get(task_id, ())
        descendants = 0
        for each in direct:
            descendants |= descendant_bits[each] | bits[each]
        descendant_bits[task_id] = descendants
        path = max((task_ranks[each][0] for each in direct), default=0.0)
        task_ranks[task_id] = seconds.get(task_id, default_seconds) + path, descendants.bit_count()
    return task_ranks
