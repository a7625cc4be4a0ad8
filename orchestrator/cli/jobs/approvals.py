"""``orchestrator approve`` and ``reject``: a person's decision on a job's plan or a question."""

from functools import partial

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import job_argument, json_option
from orchestrator.cli.jobs.job_control import print_status

_task_argument = click.argument("task_id", metavar="[TASK]", required=False)
_comment_option = partial(click.option, "-m", "--comment", default="", metavar="TEXT")


@click.command("approve")
@job_argument
@_task_argument
@_comment_option(help="Comment for dependent tasks and the report.")
@json_option
@pass_cli_context
def approve_command(context: CliContext, job_id: str, task_id: str | None, comment: str) -> None:
    """Approve the plan of JOB, or the question of TASK."""
    with context.client() as client:
        print_status(context, client.approve(job_id, task_id, comment))


@click.command("reject")
@job_argument
@_task_argument
@_comment_option(help="Comment for the report.")
@json_option
@pass_cli_context
def reject_command(context: CliContext, job_id: str, task_id: str | None, comment: str) -> None:
    """Reject the plan of JOB, or the question of TASK.

    A rejected plan ends JOB before any task starts. A rejected question fails TASK, and skips the
    tasks that depend on it.
    """
    with context.client() as client:
        print_status(context, client.reject(job_id, task_id, comment))
