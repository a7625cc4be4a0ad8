"""``orchestrator discard``: removes a job's branches, checkpoints, and refs from git."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context, unconfirmed
from orchestrator.cli.command_line.parameters import job_argument, json_option, project_option
from orchestrator.cli.offline.jobs_on_disk import whole_job
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import (
    confirmed,
    table,
)
from orchestrator.core.errors import (
    Conflict,
    NotFound,
)
from orchestrator.core.model.states import ENDED_JOB

if TYPE_CHECKING:
    pass


@click.command("discard")
@job_argument
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@json_option
@project_option
@pass_cli_context
def discard_command(context: CliContext, job_id: str, yes: bool) -> None:
    """Remove JOB's branches, checkpoints, and refs from git.

    Also removes JOB's worktrees. JOB must have ended, or have been removed by `clean`. Landed
    changes, JOB itself, and its reports are not removed. Lists the commits that are not on your
    branches, and asks for confirmation. Works with or without a running server.
    """
    from orchestrator.composition import unlanded

    context.check_not_in_worker("discard")
    context.work_on_project_of(job_id)
    lost_commits = unlanded(context.folder, context.environ, job_id)
    job = _job_of(context, job_id, lost_commits)
    if job:
        _check_discardable(job)
    if lost_commits:
        click.echo("these commits are not on your branches, and will be lost:", err=True)
        click.echo(
            table((f"  {name}", commit[:12]) for name, commit in lost_commits.items()), err=True
        )
        if not yes and not confirmed(f"Discard the branches and refs of job {job_id}?"):
            raise unconfirmed("discard", "removed")
    removed = _discarded(context, job_id, exists=bool(job))
    if context.as_json:
        click.echo(json.dumps({"job_id": job_id, "removed": list(removed)}, indent=2))
        return
    for name in removed:
        click.echo(name)
    text = (
        f"discarded job {job_id}"
        if removed
        else f"nothing to discard: job {job_id} has no branches or refs"
    )
    click.echo(text, err=True)


def _job_of(
    context: CliContext, job_id: str, lost_commits: Mapping[str, str]
) -> Mapping[str, Any] | None:
    """Return the job; None if the job was removed, and only its commits (``lost_commits``) remain.

    Raise NotFound if the job does not exist, and ``lost_commits`` is empty.
    """
    try:
        return whole_job(context.workspace, job_id)
    except NotFound:
        if lost_commits:
            return None
        raise


def _check_discardable(job: Mapping[str, Any]) -> None:
    # The server repeats this check, but only after the user has confirmed.
    root_id = job.get("root_job_id") or job["job_id"]
    if root_id != job["job_id"]:
        raise Conflict(
            f"job {job['job_id']} is a child job; discard its root job: {COMMAND} discard {root_id}"
        )
    if job["status"] not in ENDED_JOB:
        raise Conflict(
            f"job {root_id} is {job['status']}; nothing was removed; wait for its end, or cancel: "
            f"{COMMAND} cancel {root_id}"
        )


def _discarded(context: CliContext, job_id: str, *, exists: bool) -> Sequence[str]:
    """Discard a job, and return the names of the removed branches, refs, and worktrees.

    ``exists``: False if ``clean`` has removed the job.
    """
    from orchestrator.api.serializers.answer_parts import job_path
    from orchestrator.composition import discard_removed_job, local_service

    folder, environ = context.folder, context.environ
    if not exists:
        return discard_removed_job(folder, environ, job_id)
    client = context.client_if_running()
    if client is not None:
        with client:
            return list(client.discard(job_id)["removed"])
    with local_service(folder, environ) as (service, caller):
        removed = service.removal.discard(caller, job_id)
    context.note_in_audit_log("discard", f"{job_path(job_id)}/discard")
    return removed


def check_not_discarded(job: Mapping[str, Any]) -> None:
    """Raise NotFound if a person discarded the job, so that its branches no longer exist."""
    job_id = job["job_id"]
    if job.get("discarded"):
        raise NotFound(
            f"job {job_id} was discarded, so its changes no longer exist; submit the request as a "
            f"new job; to show the request: {COMMAND} report {job_id}"
        )
