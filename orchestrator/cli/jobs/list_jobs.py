"""``orchestrator jobs``: the list of jobs, newest first."""

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import Count, json_option
from orchestrator.cli.offline.server_liveness import silent_server, stopped_server
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import first_line, local_time, table, terminal_width
from orchestrator.core.model.states import ENDED_JOB, JobStatus

if TYPE_CHECKING:
    from orchestrator.api.client import OrchestratorClient

#: Maximum number of jobs per call to the server.
PAGE_SIZE = 200
#: Columns of a line before the request.
REQUEST_COLUMN = 46


@click.command("jobs")
@click.option(
    "--status",
    type=click.Choice([str(s) for s in JobStatus]),
    help="Show jobs with this status only.",
)
@click.option(
    "--limit",
    type=Count(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="Maximum number of jobs to show.",
)
@click.option("--all", "children", is_flag=True, help="Include child jobs.")
@json_option
@pass_cli_context
def jobs_command(context: CliContext, status: str | None, limit: int, children: bool) -> None:
    """List jobs, newest first. Works with or without a running server."""
    show_jobs(context, status, limit, children)


def show_jobs(context: CliContext, status: str | None, limit: int, children: bool = False) -> None:
    answer = find_jobs(context, status, limit, children)
    if context.as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not answer["jobs"]:
        click.echo(_no_jobs_line(context, status), err=True)
        return
    rows = [("JOB", "STATUS", "STARTED", "REQUEST"), *map(_row, answer["jobs"])]
    click.echo(table(rows))
    if hidden_count := answer["total"] - len(answer["jobs"]):
        subject = "job is" if hidden_count == 1 else "jobs are"
        options = " --all" if children else ""
        options += f" --status {status}" if status else ""
        command = f"{COMMAND} jobs{options} --limit N"
        click.echo(f"{hidden_count} more {subject} not shown; to show more: {command}", err=True)
    if any(job["status"] not in ENDED_JOB for job in answer["jobs"]) and (
        note := no_server_note(context)
    ):
        click.echo(note, err=True)


def _no_jobs_line(context: CliContext, status: str | None) -> str:
    if context.is_in_worker:
        jobs = f"child jobs with the status {status}" if status else "child jobs"
        command = f'{COMMAND} spawn "..."'
        return f"no {jobs}; a worker sees only its child jobs; start one: {command}"
    if status:
        return f"no job has the status {status}"
    return f'no jobs yet; start one: {COMMAND} run "..."'


def no_server_note(context: CliContext) -> str:
    """Return a message with the command that continues unfinished jobs; "" if a server runs."""
    if context.address_if_running() is not None:
        return ""
    cause, command = "no server is running", f"{COMMAND} serve"
    if record := silent_server(context.workspace):
        return f"the server gives no answer at {record.url}; stop the server: kill {record.pid}"
    if pid := stopped_server(context.workspace):
        cause, command = "the server is stopped", f"kill -CONT {pid}"
    return f"{cause}; unfinished jobs continue with: {command}"


def find_jobs(
    context: CliContext, status: str | None, limit: int, children: bool
) -> dict[str, Any]:
    """Return at most ``limit`` jobs, from the server, or from the jobs' files if no server runs.

    ``status``: return only jobs with this status; None: return jobs with any status. If
    ``children`` is True, child jobs are included. If a worker calls the server, the server returns
    only descendants of the worker.
    """
    client = context.client_if_running()
    if client is not None:
        depth = None if children or context.is_in_worker else 0
        with client:
            return _first_jobs(client, status, limit, depth)
    from orchestrator.cli.offline.jobs_on_disk import all_jobs, root_jobs, summary

    stored_jobs = (all_jobs if children else root_jobs)(context.workspace)
    jobs = [job for job in stored_jobs if status in (None, job.get("status"))]
    page = [summary(job) if context.as_json else job for job in jobs[:limit]]
    return {"jobs": page, "total": len(jobs), "page": 1, "page_size": limit}


def _first_jobs(
    client: "OrchestratorClient", status: str | None, limit: int, depth: int | None
) -> dict[str, Any]:
    size = min(limit, PAGE_SIZE)
    jobs: dict[str, Any] = {}
    for page in count(1):
        answer = client.jobs(status=status, page=page, page_size=size, depth=depth)
        # A job may be on two pages, if another job was submitted between the two calls.
        jobs |= {job["job_id"]: job for job in answer["jobs"]}
        if len(jobs) >= limit or page * size >= answer["total"]:
            break
    return {**answer, "jobs": list(jobs.values())[:limit], "page": 1, "page_size": limit}


def _row(job: dict[str, Any]) -> tuple[str, str, str, str]:
    width = max(20, terminal_width() - REQUEST_COLUMN)
    started = local_time(job.get("created_at"))
    return (str(job["job_id"]), str(job["status"]), started, first_line(job.get("request"), width))
