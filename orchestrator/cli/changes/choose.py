"""``orchestrator choose``: chooses another candidate of a task, and repeats the merge."""

import json

import click

from orchestrator.cli.changes.merge import record_text
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import job_argument, json_option
from orchestrator.cli.output.exit_codes import of_job
from orchestrator.cli.output.terminal_text import pasteable


@click.command("choose")
@job_argument
@click.argument("task_id", metavar="TASK")
@click.argument("worker_id", metavar="WORKER")
@click.option("--reason", metavar="TEXT", help="Reason for the choice, for reports.")
@json_option
@pass_cli_context
def choose_command(
    context: CliContext, job_id: str, task_id: str, worker_id: str, reason: str | None
) -> int:
    """Choose another candidate of TASK, and repeat the merge.

    JOB must have ended. The new result contains WORKER's changes. It no longer contains the changes
    of the previous candidate, or the changes of tasks that depend on TASK. To undo, choose the
    previous candidate. The exit code is the same as of `status JOB`. Starts a server if none runs.
    """
    from orchestrator.cli.server.background_server import client_for

    with client_for(context, job_id) as client:
        record = client.choose(job_id, task_id, worker_id, reason or "")
    click.echo(json.dumps(record) if context.as_json else pasteable(record_text(record)))
    return of_job(str(record["status"]))
