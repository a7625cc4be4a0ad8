"""``orchestrator diff``, ``land`` and ``undo``: what a job changed in the project's repository."""

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.local_jobs import whole_job
from orchestrator.cli.summary import tasks_of
from orchestrator.cli.surroundings import (
    Surroundings,
    job_argument,
    pass_surroundings,
    project_option,
)
from orchestrator.cli.terminal import confirmed, printable
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.states import SUCCEEDED_WORKER, JobStatus

if TYPE_CHECKING:
    from orchestrator.git import Landing


@click.command("diff")
@job_argument
@click.option("--stat", is_flag=True, help="Only which files, and how much.")
@project_option
@pass_surroundings
def diff_command(surroundings: Surroundings, job_id: str, stat: bool) -> None:
    """Show what JOB changed, merged, as a patch."""
    shown = landing_of(surroundings, job_id).diff(stat=stat)
    if sys.stdout.isatty():
        click.echo(printable(shown.decode("utf-8", "replace")), nl=False)
    else:
        click.echo(shown, nl=False)


@click.command("land")
@job_argument
@click.option("--ff-only", is_flag=True, help="Only if it takes no merge commit.")
@click.option("--no-ff", is_flag=True, help="Always with a merge commit.")
@click.option("--partial", is_flag=True, help="Also a result that lacks something.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@project_option
@pass_surroundings
def land_command(
    surroundings: Surroundings, job_id: str, ff_only: bool, no_ff: bool, partial: bool, yes: bool
) -> int:
    """Take the result of JOB onto the branch that is checked out.

    A fast-forward, or a merge commit; never over uncommitted changes, nor over files that git
    does not track. The result of a partial job is landed with --partial only.
    """
    from orchestrator.git import How

    surroundings.check_user("land")
    if ff_only and no_ff:
        raise click.UsageError("--ff-only and --no-ff exclude each other: say one of them")
    landing = landing_of(surroundings, job_id)
    job = whole_job(surroundings.workspace, job_id)
    if job.get("status") == JobStatus.PARTIAL and not partial:
        click.echo(printable("\n".join(_lacks(job))), err=True)
        return ExitCode.PARTIAL
    branch, shown = landing.branch(), _shown(landing, job)
    click.echo(printable(shown.decode("utf-8", "replace")), err=True, nl=False)
    if not yes and not confirmed(f"Take this onto {branch}?"):
        raise Conflict("nothing was changed; say --yes to land without being asked")
    how = How.FAST_FORWARD if ff_only else How.MERGE if no_ff else How.ANY
    click.echo(landing.land(how))
    return ExitCode.OK


def _shown(landing: "Landing", job: Mapping[str, Any]) -> bytes:
    """What would be landed. A job that failed has nothing, and that is its failure."""
    try:
        return landing.diff(stat=True)
    except NotFound as error:
        if job.get("status") in (JobStatus.FAILED, JobStatus.CANCELLED):
            raise Conflict(f"job {job['job_id']} is {job['status']}; {error.message}") from None
        raise


def _lacks(job: Mapping[str, Any]) -> Iterator[str]:
    """What a partial job's result does not have, and what to type."""
    yield f"Error: job {job['job_id']} is partial; nothing was changed. Its result lacks:"
    missing = [each for each in job.get("missing") or () if not each["chosen"]]
    for each in missing:
        yield f"  {each['worker_id']} ({each['branch'] or 'no branch'}): {each['why']}"
        if each["command"]:
            yield f"    to bring it in: {each['command']}"
    named = {each["worker_id"] for each in missing}
    for task in tasks_of(job):
        if task["status"] not in SUCCEEDED_WORKER and task["worker_id"] not in named:
            yield f"  {task['worker_id']} ({task['status']}): {task.get('reason') or ''}"
    if not named and job.get("reason"):
        yield f"  {job['reason']}"
    yield f"to land what there is: orchestrator land {job['job_id']} --partial"


@click.command("undo")
@job_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@project_option
@pass_surroundings
def undo_command(surroundings: Surroundings, job_id: str, yes: bool) -> None:
    """Take back what `land JOB` did.

    Only as long as nothing was committed since; changes that are not committed stop it, too.
    """
    surroundings.check_user("undo")
    landing = landing_of(surroundings, job_id)
    if not yes and not confirmed(f"Have {landing.branch()} where it was before job {job_id}?"):
        raise Conflict("nothing was changed; say --yes to undo without being asked")
    click.echo(landing.undo())


def landing_of(surroundings: Surroundings, job_id: str) -> "Landing":
    """Works with the server up or down. Raises NotFound."""
    from orchestrator.app import landing
    from orchestrator.cli.local_jobs import directory_of

    root_id = directory_of(surroundings.workspace, job_id).name.removeprefix("job_")
    return landing(surroundings.folder, surroundings.environ, root_id, job_id)
