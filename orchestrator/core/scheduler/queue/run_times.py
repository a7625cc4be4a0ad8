"""Run times of earlier tasks, from which the ranks of a job's tasks are computed.

See ``task_ranks``.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from statistics import median

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
