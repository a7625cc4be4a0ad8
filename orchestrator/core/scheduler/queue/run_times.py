"""Run times of earlier tasks. They decide which tasks start first; see ``ready_queue``."""

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
    """Run times of earlier tasks, by digests of the tasks' names.

    One thread calls ``learn``. Any thread may call ``take_news``.
    """

    def __init__(self, known: Iterable[tuple[str, float]] = ()) -> None:
        """``known``: names and run times, oldest first."""
        self._samples: dict[str, tuple[float, ...]] = {}
        self._names: dict[str, Mapping[str, Sequence[str]]] = {}
        self._news: list[tuple[str, float]] = []
        for name, seconds in known:
            self._add(name, seconds)

    def expected(self, job: Job, tasks: Sequence[TaskSpec]) -> dict[str, float]:
        """Return the median run time of each task that ran before, by task id."""
        self._names[job.id] = names = _names_of(job, tasks)
        found: dict[str, float] = {}
        for task_id, each in names.items():
            known = next((self._samples[name] for name in each if name in self._samples), None)
            if known is not None:
                found[task_id] = round(median(known), DIGITS)
        return found

    def learn(self, job_id: str, task_id: str, seconds: float) -> None:
        """Record the run time of a task that succeeded."""
        for name in self._names.get(job_id, {}).get(task_id, ()):
            self._add(name, seconds)
            self._news.append((name, seconds))

    def forget(self, job_id: str) -> None:
        """Drop the names of a job's tasks. They are needed only while the job runs."""
        self._names.pop(job_id, None)

    def take_news(self) -> Sequence[tuple[str, float]]:
        """Return the names and run times that were learned since the previous call."""
        news, self._news = self._news, []
        return news

    def _add(self, name: str, seconds: float) -> None:
        # The name moves to the end, so that the names at the beginning are those least recently
        # used.
        earlier = self._samples.pop(name, ())
        self._samples[name] = (*earlier[1 - SAMPLES :], seconds)
        if len(self._samples) > MOST_NAMES:
            del self._samples[next(iter(self._samples))]


def _names_of(job: Job, tasks: Sequence[TaskSpec]) -> dict[str, Sequence[str]]:
    """Return, by task id, the names under which run times of a task may be stored.

    A task has three names: for an equal plan, for a job with the same request, and for any job with
    the same command or prompt.
    """
    works = {
        task.id: f"{','.join(task.agents)}\0{task.command or task.prompt or task.title}"
        for task in tasks
    }
    plan = _digest(*(f"{each.id}\0{works[each.id]}\0{each.depends_on}" for each in tasks))
    return {
        task_id: (
            _digest("plan", plan, task_id),
            _digest("request", job.request, task_id),
            _digest("work", work),
        )
        for task_id, work in works.items()
    }


def _digest(*parts: str) -> str:
    text = "\0\0".join(parts).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).hexdigest()
