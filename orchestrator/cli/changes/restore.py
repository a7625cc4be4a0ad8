"""``orchestrator restore``: undoes the changes that a job made in the user's repository."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from orchestrator.cli.command_context import (
    CliContext,
    job_argument,
    pass_cli_context,
    project_option,
    unconfirmed,
)
from orchestrator.cli.offline.jobs_on_disk import root_id_of, whole_job
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal_text import confirmed, pasteable, printable
from orchestrator.core.errors import Conflict
from orchestrator.core.model.repository_changes import ChangedKind, read_change
from orchestrator.core.model.states import ENDED_JOB

if TYPE_CHECKING:
    from orchestrator.git import RepositoryRestore, Restorable


@click.command("restore")
@job_argument
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@project_option
@pass_cli_context
def restore_command(context: CliContext, job_id: str, yes: bool) -> int:
    """Restore git settings, hooks, and refs that JOB changed.

    Refs are branches and tags. Restores each item to its state before JOB. Lists items that have
    changed since JOB, and does not restore them. Never reverts a push, but shows the command that
    reverts it.
    """
    from orchestrator.composition import repository_restore
    from orchestrator.git import RestoreState

    context.check_user("restore")
    root_id = root_id_of(context.workspace, job_id)
    job = whole_job(context.workspace, root_id)
    if job.get("status") not in ENDED_JOB:
        raise Conflict(
            f"job {root_id} is {job.get('status')}; nothing was restored; wait for its end: "
            f"{COMMAND} wait {root_id}"
        )
    changes = [read_change(each) for each in job.get("repository_changes") or ()]
    if not changes:
        click.echo(f"nothing to restore: job {root_id} changed only its own branches")
        return ExitCode.OK
    work = repository_restore(context.folder, context.environ, root_id)
    found = work.look(changes)
    _show(work, found)
    can = [each for each in found if each.standing is RestoreState.CAN_BE_RESTORED]
    if can and not yes and not confirmed(f"Restore {len(can)} of these changes?"):
        raise unconfirmed("restore")
    return _restored(work, found, can)


def _show(work: "RepositoryRestore", found: Sequence["Restorable"]) -> None:
    from orchestrator.git import RestoreState

    for each in found:
        hint = f": {each.hint}" if each.hint else ""
        click.echo(pasteable(f"{each.change} ({each.standing}{hint})"), err=True)
        is_as_before = each.standing is RestoreState.AS_BEFORE
        for line in () if is_as_before else work.difference(each):
            click.echo(printable(f"    {line}"), err=True)


def _restored(
    work: "RepositoryRestore", found: Sequence["Restorable"], can: Sequence["Restorable"]
) -> ExitCode:
    """Undo the changes in ``can``. Return FAILED if a change in ``found`` remains, otherwise OK.

    Pushes are not undone, and do not make the command fail.
    """
    from orchestrator.git import RestoreState

    left = [
        each.change
        for each in found
        if each.change.kind is not ChangedKind.PUSH
        and each.standing in (RestoreState.CHANGED_SINCE, RestoreState.BY_HAND)
    ]
    for each in can:
        try:
            work.restore(each)
            was = f" (before: {each.change.after[:12]})" if each.change.after else ""
            click.echo(printable(f"restored: {each.change.kind} {each.change.name}{was}"))
        except Conflict as error:
            click.echo(pasteable(error.message), err=True)
            left.append(each.change)
    for change in left:
        click.echo(printable(f"not restored: {change}"), err=True)
    if not can and not left:
        click.echo("nothing to restore")
    return ExitCode.FAILED if left else ExitCode.OK
