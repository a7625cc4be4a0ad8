"""``orchestrator checkpoints`` and ``rollback``: lists and restores checkpoints of workers."""

import json
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context, unconfirmed
from orchestrator.cli.command_line.parameters import job_argument, json_option, project_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import confirmed, local_time, table
from orchestrator.cli.worker_names import worker_of
from orchestrator.core.errors import NotFound

Answer = dict[str, Any]
_HEADINGS = ("WORKER", "CHECKPOINT", "TIME", "FILES", "IGNORED", "GATES", "COMMIT", "")


@click.command("checkpoints")
@job_argument
@click.argument("worker_id", metavar="[WORKER]", required=False)
@json_option
@project_option
@pass_cli_context
def checkpoints_command(context: CliContext, job_id: str, worker_id: str | None) -> None:
    """List the checkpoints of JOB's workers, or of one WORKER.

    The oldest checkpoint is first. FILES is the number of files that differ from the previous
    checkpoint. The current checkpoint of each worker is marked.
    """
    context.work_on_project_of(job_id)
    worker_id = worker_id and worker_of(context, job_id, worker_id)
    answer = _checkpoints(context, job_id)
    checkpoints = [each for each in answer["checkpoints"] if worker_id in (None, each["worker_id"])]
    if context.as_json:
        click.echo(json.dumps({**answer, "checkpoints": checkpoints}, indent=2))
    elif checkpoints:
        click.echo(table([_HEADINGS, *map(_row, checkpoints)]))
    else:
        if worker_id is not None and answer["checkpoints"]:
            names = ", ".join(dict.fromkeys(each["worker_id"] for each in answer["checkpoints"]))
            raise NotFound(
                f"job {job_id} has no checkpoints of {worker_id}; workers with checkpoints: {names}"
            )
        click.echo("no checkpoints: only workers with a worktree have checkpoints", err=True)


@click.command("rollback")
@job_argument
@click.argument("worker_id", metavar="WORKER")
@click.argument("checkpoint", metavar="[CHECKPOINT]", required=False)
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@json_option
@project_option
@pass_cli_context
def rollback_command(
    context: CliContext, job_id: str, worker_id: str, checkpoint: str | None, yes: bool
) -> None:
    """Restore a worker's changes to a checkpoint.

    Without CHECKPOINT, restores the state before the worker's latest attempt. WORKER must not be
    running. The worker's current state is saved as another checkpoint.
    """
    worker_id = worker_of(context, job_id, worker_id)
    target = checkpoint or "the checkpoint before its latest attempt"
    if not yes and not confirmed(f"Restore {worker_id} of job {job_id} to {target}?"):
        raise unconfirmed("roll back")
    context.work_on_project_of(job_id)
    answer = _rolled_back(context, job_id, worker_id, checkpoint)
    if context.as_json:
        click.echo(json.dumps(answer))
        return
    commit = answer["commit"][:12]
    click.echo(f"restored {worker_id} to checkpoint {answer['checkpoint']} (commit {commit})")
    click.echo(f"the previous state is saved as checkpoint {answer['kept']}", err=True)
    click.echo(
        f"the merged result is unchanged; to merge the branches: {COMMAND} merge {job_id}; "
        f"to retry unsuccessful tasks from this state: {COMMAND} retry {job_id}",
        err=True,
    )


def _row(checkpoint: Answer) -> tuple[object, ...]:
    ignored = "yes" if checkpoint["ignored"] else "-"
    if checkpoint["not_kept"]:
        ignored += f" except {', '.join(checkpoint['not_kept'])}"
    return (
        checkpoint["worker_id"],
        checkpoint["name"],
        local_time(checkpoint.get("at")),
        checkpoint["files_changed"],
        ignored,
        checkpoint["gates"] or "-",
        checkpoint["commit"][:12],
        "<- current" if checkpoint["current"] else "",
    )


def _checkpoints(context: CliContext, job_id: str) -> Answer:
    client = context.client_if_running()
    if client is not None:
        with client:
            return client.checkpoints(job_id)
    from orchestrator.api.serializers.checkpoints import checkpoints_answer
    from orchestrator.cli.offline.jobs_on_disk import find_job

    find_job(context.workspace, job_id)
    with context.local_service() as (service, caller):
        return checkpoints_answer(service, caller, job_id).as_json()


def _rolled_back(
    context: CliContext, job_id: str, worker_id: str, checkpoint: str | None
) -> Answer:
    client = context.client_if_running()
    if client is not None:
        with client:
            return client.rollback(job_id, worker_id, checkpoint)
    from orchestrator.api.serializers.answer_parts import job_path
    from orchestrator.api.serializers.checkpoints import rolled_back_answer

    with context.local_service() as (service, caller):
        answer = rolled_back_answer(service, caller, job_id, worker_id, checkpoint)
    path = f"{job_path(job_id)}/workers/{worker_id}/rollback"
    context.note_in_audit_log("rollback", path)
    return answer.as_json()
