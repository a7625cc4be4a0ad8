"""``orchestrator diff``: shows the changes of a job or of one worker as a patch."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from orchestrator.cli.changes.discard import check_not_discarded
from orchestrator.cli.changes.land import landing_of
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import (
    Count,
    job_argument,
    json_option,
    project_option,
)
from orchestrator.cli.offline.jobs_on_disk import root_id_of, whole_job
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import command_with, echo_patch
from orchestrator.cli.worker_names import worker_of
from orchestrator.core.errors import Conflict, NotFound, TooLarge
from orchestrator.core.model.states import JobStatus


@click.command("diff")
@job_argument
@click.argument("worker_id", metavar="[WORKER]", required=False)
@click.option("--stat", is_flag=True, help="Show changed files and line counts only.")
@click.option(
    "--attempt",
    type=Count(min=1),
    metavar="N",
    help="Show the changes that WORKER had at the end of attempt N, even if rolled back later.",
)
@json_option
@project_option
@pass_cli_context
def diff_command(
    context: CliContext,
    job_id: str,
    worker_id: str | None,
    stat: bool,
    attempt: int | None,
) -> None:
    """Show the merged changes of JOB as a patch.

    With WORKER, shows the changes of one worker of JOB, compared with the worker's base. This also
    works if WORKER failed or timed out, or if its commits were not merged. With
    --json, prints the changes file by file, as the REST API returns them.
    """
    context.work_on_project_of(job_id)
    if not worker_id and attempt is not None:
        raise click.UsageError(f"--attempt needs a worker: {COMMAND} diff {job_id} WORKER")
    if worker_id:
        worker_id = worker_of(context, job_id, worker_id)
    try:
        if context.as_json:
            click.echo(_json_difference(context, job_id, worker_id, attempt, stat))
            return
        if worker_id:
            patch = diff_of_worker(context, job_id, worker_id, attempt, stat)
        else:
            patch = landing_of(context, job_id).diff(stat=stat)
    except NotFound:
        job = whole_job(context.workspace, job_id)
        check_not_discarded(job)
        if not worker_id:
            _check_ended(job)
        raise
    echo_patch(patch)


def diff_of_worker(
    context: CliContext, job_id: str, worker_id: str, attempt: int | None, stat: bool
) -> bytes:
    from orchestrator.composition import worker_difference

    root_id = root_id_of(context.workspace, job_id)
    folder, environ = context.folder, context.environ
    return worker_difference(folder, environ, root_id, worker_id, attempt=attempt, stat=stat)


def _json_difference(
    context: CliContext, job_id: str, worker_id: str | None, attempt: int | None, stat: bool
) -> str:
    from orchestrator.composition import difference

    root_id = root_id_of(context.workspace, job_id)
    folder, environ = context.folder, context.environ
    try:
        answer = difference(folder, environ, root_id, job_id, worker_id, attempt=attempt, stat=stat)
    except TooLarge as error:
        raise TooLarge(
            f"{error.message}; list the changed files: {command_with('--stat')}", error.parts
        ) from error
    return json.dumps(asdict(answer))


def _check_ended(job: Mapping[str, Any]) -> None:
    """Raise Conflict if the job has not ended. A job's branches are merged at the job's end."""
    job_id, status = job["job_id"], JobStatus(job["status"])
    if not status.ended:
        raise Conflict(
            f"job {job_id} is {status}, and has no result yet; show the changes of one worker: "
            f"{COMMAND} diff {job_id} WORKER"
        )
