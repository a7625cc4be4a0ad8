"""Finds a worker by its id, or by the id of its task."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.core.errors import InvalidRequest, NotFound

_WORKER_ID = re.compile(r"worker(_[0-9]+)+")


def worker_of(context: CliContext, job_id: str, name: str) -> str:
    """Return the id of the worker that ``name`` means: the id of a worker, or of its task.

    Raise NotFound for an unknown name, and InvalidRequest for a task with several candidates.
    """
    if _WORKER_ID.fullmatch(name):
        return name
    by_task = _workers_by_task(context, job_id)
    if name not in by_task:
        near = get_close_matches(name, by_task, n=1)
        raise NotFound(
            f"job {job_id} has no worker or task {name!r}; "
            f"{f'did you mean {near[0]!r}? ' if near else ''}"
            f"list its workers and tasks: {COMMAND} status {job_id}"
        )
    return _only_worker(by_task[name], name, job_id)


def workers_of(context: CliContext, job_id: str, names: Sequence[str]) -> list[str]:
    """Return the ids of the workers that ``names`` mean: ids of workers, or of their tasks.

    An unknown name is returned unchanged. Raise InvalidRequest for a task with several candidates.
    """
    if all(map(_WORKER_ID.fullmatch, names)):
        return list(names)
    by_task = _workers_by_task(context, job_id)
    return [_only_worker(by_task.get(name, [name]), name, job_id) for name in names]


def _only_worker(workers: Sequence[str], task_id: str, job_id: str) -> str:
    if len(workers) > 1:
        raise InvalidRequest(
            f"task {task_id!r} of job {job_id} has several workers; name one: {', '.join(workers)}"
        )
    return workers[0]


def _workers_by_task(context: CliContext, job_id: str) -> dict[str, list[str]]:
    workers_by_task: dict[str, list[str]] = {}
    for row in _worker_rows(context, job_id):
        workers_by_task.setdefault(str(row.get("task_id")), []).append(str(row["worker_id"]))
    return workers_by_task


def _worker_rows(context: CliContext, job_id: str) -> list[dict[str, Any]]:
    client = context.client_if_running()
    if client is not None:
        with client:
            return list(client.tree(job_id)["workers"])
    from orchestrator.cli.offline.jobs_on_disk import whole_job
    from orchestrator.cli.output.status_answer import tasks_of

    return [dict(row) for row in tasks_of(whole_job(context.workspace, job_id))]
