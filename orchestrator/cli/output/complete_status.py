"""Reads a job's status with all workers. The API's status of a large job omits some workers."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.api.client import OrchestratorClient
from orchestrator.cli.output.status_answer import all_tasks, tasks_of
from orchestrator.core.model.states import ENDED_JOB

Answer = dict[str, Any]


def status_with_all_workers(
    client: OrchestratorClient, job_id: str, *, of_last_child_jobs: bool
) -> Answer:
    """Return a job's status with all workers in ``results.tasks``, even while the job runs.

    Each worker's field ``child_results`` has the workers of all child jobs of this worker. If
    ``of_last_child_jobs`` is True, this field has only the workers of the last child job, as in the
    API.
    """
    # Read the tree before the status, so that the status includes every worker that the tree shows
    # as ended.
    tree = client.tree(job_id)
    answer = client.status(job_id)
    if answer["status"] in ENDED_JOB and of_last_child_jobs:
        return answer
    rows = _rows_by_worker(answer)
    if not of_last_child_jobs:
        for earlier in _earlier_child_jobs(tree):
            rows |= _rows_by_worker(client.status(earlier))
    results = answer.get("results")
    if not results:
        job = client.job(job_id)
        results = {name: job[name] for name in ("workspace", "final_report")}
    first = -1 if of_last_child_jobs else 0
    tasks = [_row(worker, rows, first) for worker in tree["workers"]]
    usage = {} if of_last_child_jobs else {"usage": tree.get("usage"), "caps": tree.get("caps")}
    return {**answer, **usage, "results": {**results, "tasks": tasks}}


def _rows_by_worker(answer: Answer) -> dict[str, Mapping[str, Any]]:
    return {str(row["worker_id"]): row for row in all_tasks(tasks_of(answer))}


def _earlier_child_jobs(job: Answer) -> Iterator[str]:
    # Omit each worker's last child job, because the job's status already has it.
    for worker in job["workers"]:
        jobs = worker.get("child_jobs") or ()
        yield from (each["job_id"] for each in jobs[:-1])
        for each in jobs:
            yield from _earlier_child_jobs(each)


def _row(worker: Answer, rows: Mapping[str, Mapping[str, Any]], first: int) -> Answer:
    """Convert a worker of a job tree to its form in a status. Add the workers of its child jobs.

    ``rows``: {worker id: the worker's fields in the status}. ``first``: index of the first child
    job whose workers are included.
    """
    figures = rows.get(worker["worker_id"], {})
    jobs = worker.get("child_jobs") or ()
    row = {**worker, **figures}
    del row["child_jobs"]
    if jobs:
        child_results = [_row(each, rows, first) for job in jobs[first:] for each in job["workers"]]
        row["child_job_id"] = jobs[-1]["job_id"]
        row["child_job_ids"] = [job["job_id"] for job in jobs]
        row["child_results"] = child_results
    return row
