"""Reads jobs from their files, for commands that need no server."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.status_answer import all_tasks, tasks_of
from orchestrator.cli.output.terminal_text import moment
from orchestrator.core.errors import NoSuchJob, OrchestratorError
from orchestrator.core.model.states import ENDED_WORKER, SUCCEEDED_WORKER
from orchestrator.core.outcome.job.listed_workers import ALL_WORKERS
from orchestrator.security.files.untrusted_files import read_regular

Answer = dict[str, Any]

#: Maximum bytes of a status file.
STATUS_BYTES = 1024**3


class UnreadableJobs(OrchestratorError):
    """This user may not read the files of jobs, because the jobs belong to another user."""

    kind = "unreadable"

    def __init__(self, path: Path) -> None:
        user = f"this user (uid {os.geteuid()})"
        super().__init__(f"{user} cannot read {path}; run the command as the owner of the file")


def root_jobs(workspace: Path) -> list[Answer]:
    """Return the status of every root job, the newest first.

    Print a message for each job that this user cannot read. Raise UnreadableJobs if this user can
    read no job.
    """
    jobs: list[Answer] = []
    errors: list[UnreadableJobs] = []
    for path in _directories(workspace):
        try:
            jobs += filter(None, [_status(path)])
        except UnreadableJobs as error:
            errors.append(error)
    if errors and not jobs:
        raise UnreadableJobs(workspace)
    for each in errors:
        click.echo(each.message, err=True)
    return _newest_first(jobs)


def _directories(workspace: Path) -> list[Path]:
    try:
        return [workspace / name for name in os.listdir(workspace) if name.startswith("job_")]
    except FileNotFoundError:
        return []
    except PermissionError:
        raise UnreadableJobs(workspace) from None


def _newest_first(jobs: list[Answer]) -> list[Answer]:
    return sorted(jobs, key=lambda job: moment(job.get("created_at")) or 0, reverse=True)


def all_jobs(workspace: Path) -> list[Answer]:
    """Return the status of all root jobs and their child jobs, the newest first."""
    roots = root_jobs(workspace)
    jobs = [job for root in roots for job in (root, *_child_jobs(root))]
    return _newest_first(jobs)


def _child_jobs(root: Answer) -> Iterator[Answer]:
    for job in root.get("child_jobs", ()):
        yield {**job, "root_job_id": root["job_id"]}


def summary(job: Answer) -> Answer:
    """Convert a job's status to the form of the API's list of jobs. Omit unknown values."""
    from orchestrator.api.serializers.answer_parts import SUMMARY_CHARACTERS, links, seconds_between
    from orchestrator.schemas.answers.job_list import JobSummary

    job_id, began, ended = job["job_id"], moment(job.get("started_at")), moment(job.get("ended_at"))
    values = {
        **{"reason": "", "request": "", "depth": 0, "root_job_id": job_id, "labels": {}},
        "run": 1,
        **job,
        "request": str(job.get("request") or "")[:SUMMARY_CHARACTERS],
        "seconds": seconds_between(began, ended),
        "links": links(job_id),
    }
    return {name: values[name] for name in JobSummary.model_fields if values.get(name) is not None}


def find_job(workspace: Path, job_id: str) -> Answer:
    """Return the status of a root job or a child job, with the fields of the server's answer.

    Raise NotFound for an unknown job.
    """
    job = _job(workspace, job_id)
    results = dict(job.get("results") or {})
    results["tasks"] = [_with_last_child_jobs(task) for task in results.get("tasks") or []]
    return {**job, "results": results}


def whole_job(workspace: Path, job_id: str) -> Answer:
    """Return the status of a job, with the workers of all child jobs in ``child_results``.

    If the files of an unfinished job lack workers, print a message. Raise NotFound for an unknown
    job.
    """
    job = _job(workspace, job_id)
    if omitted := job.get("workers_omitted"):
        click.echo(
            f"{omitted['count']} workers are not in the files of job {omitted['job_id']} until the "
            f"job ends; to show these workers, start a server: {COMMAND} serve",
            err=True,
        )
    return job


def _job(workspace: Path, job_id: str) -> Answer:
    root = _with_all_workers(workspace / f"job_{job_id}")
    if root is not None:
        return root
    directory = directory_of(workspace, job_id)
    root = _with_all_workers(directory) or {}
    parent = next(_starting_workers(root, job_id), Answer())
    tasks = [task for task in parent.get("child_results") or [] if task.get("job_id") == job_id]
    record: Answer = next(
        (job for job in root.get("child_jobs", ()) if job["job_id"] == job_id), {}
    )
    if omitted := root.get("workers_omitted"):
        record = {**record, "workers_omitted": omitted}
    return _child(directory, job_id, tasks, record)


def _with_last_child_jobs(task: Answer) -> Answer:
    child_results = task.get("child_results") or []
    last = [each for each in child_results if each.get("job_id") == task.get("child_job_id")]
    return (
        {**task, "child_results": [_with_last_child_jobs(each) for each in last]} if last else task
    )


def directory_of(workspace: Path, job_id: str) -> Path:
    """Return the directory of the job; for a child job, the directory of its root job.

    Raise NotFound for an unknown job.
    """
    directory = workspace / f"job_{job_id}"
    if _status(directory) is not None:
        return directory
    for job in root_jobs(workspace):
        children = (child["job_id"] for child in job.get("child_jobs", ()))
        if job_id in children or any(_starting_workers(job, job_id)):
            return workspace / f"job_{job['job_id']}"
    raise NoSuchJob(job_id, f" in {workspace}")


def written_at(workspace: Path, job_id: str) -> float:
    """Return the time at which a root job's status was last written (Unix time).

    If the job was removed, return the current time.
    """
    try:
        return (workspace / f"job_{job_id}" / "status.json").stat().st_mtime
    except OSError:
        return time.time()


def root_id_of(workspace: Path, job_id: str) -> str:
    """Return the id of a job's root job. For a root job, return ``job_id``.

    Raise NotFound for an unknown job.
    """
    return _root_id(directory_of(workspace, job_id))


def _root_id(directory: Path) -> str:
    return directory.name.removeprefix("job_")


def project_of_job(workspace: Path, job_id: str) -> str:
    """Return the directory of a job's project; "" if the project is unknown."""
    try:
        root = _status(directory_of(workspace, job_id))
    except OrchestratorError:
        return ""
    return str((root or {}).get("project") or "")


def workers_of(workspace: Path, job_id: str) -> set[str] | None:
    """Return the ids of all workers of a child job and of its child jobs, at any depth.

    Return None for a root job: all workers in a root job's directory belong to the root job.
    """
    if _status(workspace / f"job_{job_id}") is not None:
        return None
    job = whole_job(workspace, job_id)
    return {str(task.get("worker_id")) for task in all_tasks(tasks_of(job))}


def _with_all_workers(directory: Path) -> Answer | None:
    # The status of an unfinished job may lack some of its workers.
    status = _status(directory)
    if status and (status.get("workers_omitted") or {}).get("file"):
        return _status(directory, ALL_WORKERS) or status
    return status


def _status(directory: Path, name: str = "status.json") -> Answer | None:
    """Return the status in the file ``name`` of a job's directory.

    Return None if there is no such file. If the file is damaged, print a message, and return None.
    Raise UnreadableJobs if this user may not read the directory.
    """
    if os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK):
        raise UnreadableJobs(directory)
    path = directory / name
    content = read_regular(path, STATUS_BYTES)
    if content is None:
        return None
    try:
        status = json.loads(content)
    except (ValueError, RecursionError) as error:
        click.echo(f"{path} is damaged; its job is not listed: {error}", err=True)
        return None
    return status if isinstance(status, dict) and "job_id" in status else None


def _starting_workers(job: Answer, job_id: str) -> Iterator[Answer]:
    """Yield each worker of ``job``, at any depth, that started the child job ``job_id``."""
    for task in all_tasks(tasks_of(job)):
        if job_id in (task.get("child_job_ids") or [task.get("child_job_id")]):
            yield dict(task)


def _child(directory: Path, job_id: str, tasks: list[Answer], record: Answer) -> Answer:
    """Return the status of the child job ``job_id``.

    ``tasks``: the workers of the child job. ``record``: fields of the child job in the root job's
    status. These fields override the fields that this function computes, such as the status.
    """
    report = str(directory / "reports" / f"job_{job_id}.md")
    return {
        "job_id": job_id,
        "root_job_id": _root_id(directory),
        "status": _status_of_workers(tasks),
        **record,
        "results": {"tasks": tasks, "workspace": str(directory), "final_report": report},
    }


def _status_of_workers(tasks: list[Answer]) -> str:
    statuses = [task.get("status") for task in tasks]
    if not all(status in ENDED_WORKER for status in statuses):
        return "running"
    good = sum(status in SUCCEEDED_WORKER for status in statuses)
    if good == len(statuses):
        return "completed"
    return "partial" if good else "failed"
