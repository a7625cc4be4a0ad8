"""Reads facts from a job's status, as the API returns it: tasks, counts of workers, and time."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.cli.output.terminal_text import moment
from orchestrator.core.model.job_settings import Workdir
from orchestrator.core.model.states import ENDED_JOB, SUCCEEDED_WORKER, JobStatus, MergeState

UNSUCCESSFUL = ENDED_JOB - {JobStatus.COMPLETED}
SUCCEEDED = {str(status) for status in SUCCEEDED_WORKER}
#: Pattern of a task's id that the server generated, because the plan has no id for the task.
_NO_ID = re.compile(r"task_\d+_*")

Answer = Mapping[str, Any]


def tasks_of(answer: Answer) -> list[Answer]:
    return list((answer.get("results") or {}).get("tasks") or [])


def all_tasks(tasks: list[Answer]) -> Iterator[Answer]:
    """Yield the tasks, and the tasks of their child jobs at any depth."""
    stack = list(reversed(tasks))
    while stack:
        task = stack.pop()
        yield task
        stack.extend(reversed(task.get("child_results") or []))


def id_in_plan(task: Answer) -> str:
    """Return the id of the worker's task in the plan; "" if the plan has no id for the task."""
    task_id = str(task.get("task_id") or "")
    return "" if _NO_ID.fullmatch(task_id) else task_id


def counts_of(answer: Answer) -> Counter[str]:
    """Return the number of workers in each status, including the workers of child jobs."""
    task_counts = Counter(str(task.get("status")) for task in all_tasks(tasks_of(answer)))
    stored_counts = answer.get("counts") or (None if task_counts else answer.get("workers"))
    if isinstance(stored_counts, dict):
        return Counter({str(status): int(n) for status, n in stored_counts.items() if n})
    return task_counts


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


def merge_seconds(answer: Answer) -> float:
    """Return the seconds from the end of a job's last worker to the job's end; 0 without a merge.

    In this time, the server merges the workers' changes, and runs the gates on the merged result.
    """
    began, ended = moment(answer.get("started_at")), moment(answer.get("ended_at"))
    has_merged = answer.get("merge_state", MergeState.NONE) != MergeState.NONE
    if not has_merged or began is None or ended is None:
        return 0.0
    return max(0.0, ended - began - (seconds_taken(answer) or 0.0))


def changed_no_file(answer: Answer) -> bool:
    unchanged_ids = answer.get("changed_nothing") or []
    succeeded = {
        task.get("worker_id") for task in tasks_of(answer) if task.get("status") in SUCCEEDED
    }
    return bool(succeeded) and succeeded <= set(unchanged_ids)


def workers_with_files_in_project(answer: Answer) -> list[str]:
    project_tasks = (each for each in all_tasks(tasks_of(answer)) if is_in_project(each))
    return [str(each["worker_id"]) for each in project_tasks if each.get("files_created")]


def is_in_project(task: Answer) -> bool:
    return task.get("workdir") == Workdir.PROJECT
