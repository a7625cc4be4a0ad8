"""``orchestrator continue``: a follow-up job on the result of a job that has ended."""

from collections.abc import Mapping
from typing import Any

import click

from orchestrator.cli.changes.discard import check_not_discarded
from orchestrator.cli.changes.land import incompleteness, landing_of
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import job_argument, json_option, project_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.plan.job_options import (
    JobOptions,
    RequestCommand,
    cap_options,
    request_argument,
)
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.model.states import ENDED_JOB
from orchestrator.core.repository.landing import CONTINUES

#: Maximum characters of the earlier request and reason in the workers' prompts.
MOST_CHARACTERS = 4000


@click.command("continue", cls=RequestCommand)
@job_argument
@request_argument
@click.option("--agent", metavar="NAME", help="Agent of the tasks.")
@cap_options
@click.option(
    "--keep-server", is_flag=True, help="Do not stop the server that this command started."
)
@json_option
@project_option
@pass_cli_context
def continue_command(
    context: CliContext,
    /,
    job_id: str,
    request: str | None,
    keep_server: bool,
    **options: Any,
) -> int:
    """Run REQUEST as a new job that starts from the result of JOB.

    JOB must have ended, with a merged result. The new job has the label continues=JOB. Its workers
    also receive JOB's request and JOB's outcome. `land` of the new job lands both results; `diff`
    shows the changes of the new job only.
    """
    from orchestrator.cli.follow.follow import stop_signals_interrupt
    from orchestrator.cli.jobs.run import run_to_its_end

    if not (request or "").strip():
        raise click.UsageError(f'no request; pass it in quotes: {COMMAND} continue {job_id} "..."')
    config = {name: value for name, value in options.items() if value is not None}
    config |= _base(context, job_id)
    with stop_signals_interrupt():
        job = JobOptions(request=str(request), config=config)
        return run_to_its_end(context, job, keep_server)


def _base(context: CliContext, job_id: str) -> dict[str, Any]:
    """Return the settings of a new job that starts from the result of job ``job_id``.

    Raise NotFound for an unknown job, and Conflict if the job has not ended or has no result.
    """
    from orchestrator.cli.offline.jobs_on_disk import whole_job

    job = whole_job(context.workspace, job_id)
    if job.get("status") not in ENDED_JOB:
        raise Conflict(
            f"job {job_id} is {job.get('status')}; no new job was started; "
            f"wait for the end of job {job_id}: {COMMAND} wait {job_id}"
        )
    try:
        commit = landing_of(context, job_id).result()
    except NotFound as error:
        raise Conflict(f"{_cause(job, error)}; no new job was started") from None
    if description := incompleteness(job):
        click.echo(f"Note: this job starts from an incomplete result: {description}", err=True)
    return {"base": commit, "labels": {CONTINUES: job_id}, "context": _context(job)}


def _cause(job: Mapping[str, Any], error: NotFound) -> str:
    """Return why a job has no result: a person discarded the job, or the text of ``error``."""
    try:
        check_not_discarded(job)
    except NotFound as discarded:
        return discarded.message
    return error.message


def _context(job: Mapping[str, Any]) -> str:
    request = str(job.get("request") or "")[:MOST_CHARACTERS]
    reason = str(job.get("reason") or "")[:MOST_CHARACTERS]
    return "\n".join(
        [
            f"This job continues job {job['job_id']}, whose result is already in your worktree.",
            f"Request of that job: {request}",
            f"Outcome of that job: {job.get('status')}{f' ({reason})' if reason else ''}",
        ]
    )
