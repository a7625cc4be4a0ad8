"""Reads facts from a job's status, as the API returns it: tasks, counts of workers, and time."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.cli.output.terminal_text import moment
from orchestrator.core.model.states import ENDED_JOB, SUCCEEDED_WORKER, JobStatus, Workdir

UNSUCCESSFUL = ENDED_JOB - {JobStatus.COMPLETED}
SUCCEEDED = {str(status) for status in SUCCEEDED_WORKER}
#: Pattern of a task's id that the server generated, because the plan has no id for the task.
_NO_ID = re.compile(r"task_\d+_*")

Answer = Mapping[str, Any]


def tasks_of(answer: Answer) -> list[Answer]:
    return list((answer.get("results") or {}).get("tasks") or [])


def all_tasks(tasks: list[Answer]) -> Iterator[Answer]:
    """Yield the tasks, and the tasks of their child jobs at any depth."""
    rest = list(reversed(tasks))
    while rest:
        task = rest.pop()
        yield task
        rest.extend(reversed(task.get("child_results") or []))


def given_id(task: Answer) -> str:
    """Return the id that the plan gave to the worker's task; "" if it gave none."""
    task_id = str(task.get("task_id") or "")
    return "" if _NO_ID.fullmatch(task_id) else task_id


def counts_of(answer: Answer) -> Counter[str]:
    """Return the number of workers in each status, including the workers of child jobs."""
    seen = Counter(str(task.get("status")) for task in all_tasks(tasks_of(answer)))
    given = answer.get("counts") or (None if seen else answer.get("workers"))
    if isinstance(given, dict):
        return Counter({str(status): int(n) for status, n in given.items() if n})
    return seen


def seconds_taken(answer: Answer) -> float | None:
    """Return the duration of a job, in seconds; for a running job, the time since its start.

    Return None if the status has no start time.
    """
    if isinstance(seconds := answer.get("seconds"), int | float):
        return seconds
    began = moment(answer.get("started_at") or answer.get("created_at"))
    if began is None:
        return None
    ended = moment(answer.get("ended_at"))
    return max(0.0, (time.time() if ended is None else ended) - began)


def changed_no_file(answer: Answer) -> bool:
    found = answer.get("changed_nothing") or []
    good = {task.get("worker_id") for task in tasks_of(answer) if task.get("status") in SUCCEEDED}
    return bool(good) and good <= set(found)


def made_in_project(answer: Answer) -> list[str]:
    found = (each for each in all_tasks(tasks_of(answer)) if is_in_project(each))
    return [str(each["worker_id"]) for each in found if each.get("files_created")]


def is_in_project(task: Answer) -> bool:
    return task.get("workdir") == Workdir.PROJECT
