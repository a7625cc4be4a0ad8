"""All workers of a job that has not ended, also those of which ``status`` says nothing yet."""

from collections.abc import Mapping
from typing import Any

from orchestrator.api.client import OrchestratorClient
from orchestrator.cli.summary import all_tasks, tasks_of
from orchestrator.core.states import ENDED_JOB

Answer = dict[str, Any]


def status_with_all_workers(client: OrchestratorClient, job_id: str) -> Answer:
    """The status form; its ``results.tasks`` are there before the first worker has ended."""
    # Read first: whatever has ended since is in the status.
    tree = client.tree(job_id)
    answer = client.status(job_id)
    if answer["status"] in ENDED_JOB:
        return answer
    known = {str(row["worker_id"]): row for row in all_tasks(tasks_of(answer))}
    results = answer.get("results") or _places(client.job(job_id))
    tasks = [_row(worker, known) for worker in tree["workers"]]
    return {**answer, "results": {**results, "tasks": tasks}}


def _places(job: Answer) -> Answer:
    return {name: job[name] for name in ("workspace", "final_report")}


def _row(worker: Answer, known: Mapping[str, Mapping[str, Any]]) -> Answer:
    told = known.get(worker["worker_id"], {})
    jobs = worker.get("child_jobs") or ()
    row = {**worker, **told}
    del row["child_jobs"]
    if jobs:
        below = [_row(each, known) for each in jobs[-1]["workers"]]
        row["child_job_id"] = jobs[-1]["job_id"]
        row["child_job_ids"] = [job["job_id"] for job in jobs]
        row["child_results"] = below
    return row
