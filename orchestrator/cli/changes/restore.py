"""``orchestrator restore``: undoes the changes that a job made in the user's repository."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context, unconfirmed
from orchestrator.cli.command_line.parameters import job_argument, json_option, project_option
from orchestrator.cli.offline.jobs_on_disk import root_id_of, whole_job
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal_text import confirmed, pasteable, printable
from orchestrator.core.errors import Conflict
from orchestrator.core.model.states import ENDED_JOB
from orchestrator.core.model.user_repository_changes import ChangedKind, read_change

if TYPE_CHECKING:
    from orchestrator.git import RepositoryRestore, Restorable


@click.command("restore")
@job_argument
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@json_option
@project_option
@pass_cli_context
def restore_command(context: CliContext, job_id: str, yes: bool) -> int:
    """Restore git settings, hooks, and refs that JOB changed.

    Refs are, for example, branches, tags, and stash entries. Other changed files of the .git
    directory are also restored. Each item gets the state that it had before JOB. An item that has
    changed since JOB is listed, but not restored. Never reverts a push, but shows the command that
    reverts the push. If JOB is a child job, all changes of its root job are restored.
    """
    from orchestrator.composition import repository_restore
    from orchestrator.git import RestoreState

    context.check_not_in_worker("restore")
    root_id = root_id_of(context.workspace, job_id)
    job = whole_job(context.workspace, root_id)
    if job.get("status") not in ENDED_JOB:
        raise Conflict(
            f"job {root_id} is {job.get('status')}; nothing was restored; wait for its end: "
            f"{COMMAND} wait {root_id}"
        )
    changes = [read_change(each) for each in job.get("repository_changes") or ()]
    if not changes and not context.as_json:
        click.echo(
            f"nothing to restore: job {root_id} changed nothing in git except its own branches"
        )
        return ExitCode.OK
    restoration = repository_restore(context.folder, context.environ, root_id)
    items = restoration.inspect(changes)
    if not context.as_json:
        _show(restoration, items)
    restorable = [each for each in items if each.restore_state is RestoreState.CAN_BE_RESTORED]
    question = f"Restore {len(restorable)} of these items?"
    if restorable and not yes and (context.as_json or not confirmed(question)):
        raise unconfirmed("restore")
    failures = _undo_changes(restoration, restorable)
    remaining = [each for each in items if each in failures or _remains(each)]
    if context.as_json:
        outcomes = [_outcome(each, failures) for each in items]
        click.echo(json.dumps({"job_id": root_id, "changes": outcomes}))
    else:
        _print(restorable, failures, remaining)
    return ExitCode.FAILED if remaining else ExitCode.OK


def _show(restoration: "RepositoryRestore", items: Sequence["Restorable"]) -> None:
    from orchestrator.git import RestoreState

    for item in items:
        hint = f": {item.hint}" if item.hint else ""
        click.echo(pasteable(f"{item.change} ({item.restore_state}{hint})"), err=True)
        is_as_before = item.restore_state is RestoreState.AS_BEFORE
        for line in () if is_as_before else restoration.difference(item):
            click.echo(printable(f"    {line}"), err=True)


def _undo_changes(
    restoration: "RepositoryRestore", restorable: Iterable["Restorable"]
) -> dict["Restorable", str]:
    """Undo the changes in ``restorable``. Return each change that remains, with the reason."""
    failures = {}
    for item in restorable:
        try:
            restoration.restore(item)
        except Conflict as error:
            failures[item] = error.message
    return failures


def _remains(item: "Restorable") -> bool:
    """True if the command fails because of this change. Pushes do not make the command fail."""
    from orchestrator.git import RestoreState

    remaining_states = (RestoreState.CHANGED_SINCE, RestoreState.BY_HAND)
    return item.change.kind is not ChangedKind.PUSH and item.restore_state in remaining_states


def _outcome(item: "Restorable", failures: Mapping["Restorable", str]) -> dict[str, Any]:
    """Return a change as in a job's status, with its outcome and the hint."""
    from orchestrator.git import RestoreState

    outcome = item.restore_state.name.lower()
    if item.restore_state is RestoreState.CAN_BE_RESTORED:
        outcome = "failed" if item in failures else "restored"
    hint = failures.get(item, item.hint)
    return {**asdict(item.change), "outcome": outcome, "hint": hint}


def _print(
    restorable: Sequence["Restorable"],
    failures: Mapping["Restorable", str],
    remaining: Sequence["Restorable"],
) -> None:
    for item in restorable:
        if item in failures:
            click.echo(pasteable(failures[item]), err=True)
            continue
        note = f" (was {item.change.after[:12]} after the job)" if item.change.after else ""
        click.echo(printable(f"restored: {item.change.kind} {item.change.name}{note}"))
    for item in remaining:
        click.echo(printable(f"not restored: {item.change}"), err=True)
    if not restorable and not remaining:
        click.echo("nothing to restore")
