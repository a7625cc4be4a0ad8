"""``orchestrator diff``, ``land`` and ``undo``: a job's changes in the project's repository."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.context import (
    CliContext,
    job_argument,
    pass_surroundings,
    project_option,
    unconfirmed,
)
from orchestrator.cli.offline.jobs_on_disk import root_id_of, whole_job
from orchestrator.cli.output.exit_codes import ExitCode, of_job
from orchestrator.cli.output.summary import (
    all_tasks,
    already,
    ending_lines,
    is_in_project,
    made_in_project,
    place_of,
    purpose,
    tasks_of,
)
from orchestrator.cli.output.terminal import command_with, confirmed, printable, terminal_width
from orchestrator.core.command_name import COMMAND
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.model.states import SUCCEEDED_WORKER, JobStatus
from orchestrator.core.text.formatting import fence
from orchestrator.security.untrusted_files import read_regular

if TYPE_CHECKING:
    from orchestrator.git import Landing, LandOptions

_MOST_REPORT = 16 << 20
#: Label of a follow-up job, with the id of the earlier job.
CONTINUES = "continues"


@click.command("diff")
@job_argument
@click.argument("worker_id", metavar="[WORKER]", required=False)
@click.option("--stat", is_flag=True, help="Show changed files and line counts only.")
@click.option(
    "--attempt",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the state of WORKER at the end of attempt N, even if rolled back.",
)
@project_option
@pass_surroundings
def diff_command(
    surroundings: CliContext,
    job_id: str,
    worker_id: str | None,
    stat: bool,
    attempt: int | None,
) -> None:
    """Show the merged changes of JOB as a patch.

    With WORKER, shows the commits of one worker of JOB, compared with its base. WORKER may have
    failed or timed out, may be unmerged, or may be a candidate that was not chosen.
    """
    surroundings.work_on_project_of(job_id)
    if worker_id:
        shown = _diff_of_worker(surroundings, job_id, worker_id, attempt, stat)
    elif attempt is not None:
        raise click.UsageError(f"--attempt needs a worker: {COMMAND} diff {job_id} WORKER")
    else:
        shown = landing_of(surroundings, job_id).diff(stat=stat)
    if sys.stdout.isatty():
        click.echo(printable(shown.decode("utf-8", "replace")), nl=False)
    else:
        click.echo(shown, nl=False)


def _diff_of_worker(
    surroundings: CliContext, job_id: str, worker_id: str, attempt: int | None, stat: bool
) -> bytes:
    from orchestrator.app import worker_difference

    root_id = root_id_of(surroundings.workspace, job_id)
    folder, environ = surroundings.folder, surroundings.environ
    return worker_difference(folder, environ, root_id, worker_id, attempt=attempt, stat=stat)


@click.command("land")
@job_argument
@click.option("--ff-only", is_flag=True, help="Refuse to create a merge commit.")
@click.option("--no-ff", is_flag=True, help="Always create a merge commit.")
@click.option("--squash", is_flag=True, help="Create one commit, with the trailers of all commits.")
@click.option(
    "--pr", is_flag=True, help="Push the result, and open a pull request (with gh or glab)."
)
@click.option("--partial", is_flag=True, help="Allow a job that is not completed.")
@click.option(
    "--onto",
    metavar="BRANCH",
    help="Target branch. Without --pr, it must be the current branch.",
)
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@project_option
@pass_surroundings
def land_command(
    surroundings: CliContext,
    job_id: str,
    ff_only: bool,
    no_ff: bool,
    squash: bool,
    pr: bool,
    partial: bool,
    onto: str | None,
    yes: bool,
) -> int:
    """Merge the result of JOB into the current branch.

    Fast-forwards the branch if possible; otherwise creates a merge commit. Never overwrites
    uncommitted changes or untracked files. A partial job needs --partial. If JOB started from
    another branch, land asks, even with --yes, unless --onto names the current branch.

    With --pr, your branch does not change. The result branch is pushed to the remote of the branch
    that JOB started from. Then gh or glab opens a pull request onto that branch, or onto --onto.
    """
    surroundings.check_user("land")
    how = _how(ff_only=ff_only, no_ff=no_ff, squash=squash)
    if pr and (ff_only or no_ff or squash):
        raise click.UsageError(
            f"--pr and {how.value} conflict, because the service merges; pass one of them"
        )
    landing = landing_of(surroundings, job_id)
    job = whole_job(surroundings.workspace, job_id)
    if job.get("status") != JobStatus.COMPLETED and not partial:
        return _refuse(landing, job)
    if _changed_nothing(job):
        there = made_in_project(job)
        why = already(there) if there else f"job {job['job_id']} changed nothing"
        told = [f"nothing to land: {why}", *ending_lines(job, terminal_width())]
        click.echo(printable("\n".join(told)), err=True)
        return ExitCode.OK
    try:
        shown = landing.diff(stat=True)
    except NotFound as error:
        return _without_result(job, error)
    click.echo(printable(shown.decode("utf-8", "replace")), err=True, nl=False)
    for line in ending_lines(job, terminal_width()):
        click.echo(line, err=True)
    base = base_branch(surroundings.workspace, landing.root_id)
    if pr:
        return _open_pull_request(surroundings, landing, job, onto or base, yes=yes)
    _ask(job["job_id"], landing.branch(), base, onto=onto, yes=yes)
    click.echo(landing.land(how, str(job.get("request") or "")))
    return ExitCode.OK


def _refuse(landing: "Landing", job: Mapping[str, Any]) -> int:
    """Name the changes that a job's result lacks; its exit code, FAILED if it has not ended."""
    status = JobStatus(job["status"])
    if status != JobStatus.PARTIAL:
        try:
            landing.result()
        except NotFound as error:
            return _without_result(job, error)
    also = f"to land the incomplete result: {COMMAND} land {job['job_id']} --partial"
    click.echo(printable("\n".join([*_lacks(job), also])), err=True)
    return of_job(status) if status.ended else ExitCode.FAILED


def _open_pull_request(
    surroundings: CliContext,
    landing: "Landing",
    job: Mapping[str, Any],
    base: str,
    *,
    yes: bool,
) -> int:
    from orchestrator.git import PullRequest

    job_id, request = job["job_id"], str(job.get("request") or "")
    if not base:
        raise Conflict(
            f"job {job_id} did not start from a branch; nothing was changed; name the target: "
            f"{COMMAND} land {job_id} --pr --onto BRANCH"
        )
    asked = PullRequest(
        project=landing.project,
        environ=surroundings.environ,
        commit=landing.to_push(),
        head=landing.head,
        base=base,
        title=landing.title(request),
        body=_body(job, request, landing.diff(stat=True).decode("utf-8", "replace")),
    )
    remote, tool = asked.check()
    question = f"Push {landing.head} to {remote} and open a pull request onto {base}?"
    if not yes and not confirmed(question):
        raise unconfirmed("push")
    click.echo(printable(asked.open(remote, tool)))
    return ExitCode.OK


def _body(job: Mapping[str, Any], request: str, stat: str) -> str:
    """Return the request, the beginning of the job's report, and which files were changed."""
    report = (job.get("results") or {}).get("final_report")
    text = (read_regular(report, _MOST_REPORT) if report else None) or b""
    summary = text.decode("utf-8", "replace").partition("\n## ")[0].lstrip("# ").strip()
    parts = (request.strip(), f"## Result\n\n{summary}", fence(stat.rstrip(), "text"))
    return "\n\n".join((*parts, f"Orchestrator-Job: {job['job_id']}")) + "\n"


def _ask(job_id: str, branch: str, base: str, *, onto: str | None, yes: bool) -> None:
    """Raise Conflict if the user does not agree that ``branch`` is changed."""
    name = branch.split(" ")[0]
    if onto not in (None, name):
        raise Conflict(
            f"the current branch is {branch}, not {onto}; nothing was changed; first: "
            f"git switch {onto}"
        )
    if base and base != name and not onto:
        given = command_with("--onto", name, *(() if yes else ("--yes",)))
        if not confirmed(f"Job {job_id} started from {base}. Land it on {branch} instead?"):
            raise Conflict(
                f"job {job_id} started from branch {base}, but the current branch is {branch}; "
                f"nothing was changed; to land it on {name}: {given}"
            )
    elif not yes and not confirmed(f"Land this on {branch}?"):
        raise unconfirmed("land")


def base_branch(workspace: Path, root_id: str) -> str:
    """Return the branch that a root job, or the job that it continues, started from; empty:
    none.
    """
    seen: set[str] = set()
    while root_id and root_id not in seen:
        seen.add(root_id)
        try:
            job = whole_job(workspace, root_id)
        except NotFound:
            return ""
        if found := str(job.get("base_branch") or ""):
            return found
        root_id = str((job.get("labels") or {}).get(CONTINUES) or "")
    return ""


def _how(*, ff_only: bool, no_ff: bool, squash: bool) -> "LandOptions":
    """Return the merge method that the options select. Raise UsageError if they conflict."""
    from orchestrator.git import LandOptions

    given = {
        LandOptions.FAST_FORWARD: ff_only,
        LandOptions.MERGE: no_ff,
        LandOptions.SQUASH: squash,
    }
    chosen = [how for how, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise click.UsageError(
            f"{' and '.join(each.value for each in chosen)} conflict; pass one of them"
        )
    return chosen[0] if chosen else LandOptions.ANY


def _without_result(job: Mapping[str, Any], error: NotFound) -> ExitCode:
    """Return the exit code for a job that has nothing to land. Raise Conflict if the job failed or
    was cancelled; raise ``error`` if its files are in directories without a worktree."""
    status = job.get("status")
    if status in (JobStatus.FAILED, JobStatus.CANCELLED):
        raise Conflict(f"job {job['job_id']} is {status}; {error.message}") from None
    missing = job.get("missing") or ()
    if not missing:
        raise error
    if status == JobStatus.PARTIAL:
        click.echo(printable("\n".join(_lacks(job))), err=True)
        return ExitCode.PARTIAL
    told = f"nothing to land: all changes of job {job['job_id']} were excluded by choice:"
    click.echo(printable("\n".join([told, *_losses(missing)])), err=True)
    return ExitCode.OK


def _changed_nothing(job: Mapping[str, Any]) -> bool:
    """True for a completed job whose workers created no files, except in the project itself."""
    made = job.get("made_not_in_result") or any(
        task.get("files_created") and not is_in_project(task) for task in all_tasks(tasks_of(job))
    )
    return job.get("status") == JobStatus.COMPLETED and not made


def _lacks(job: Mapping[str, Any]) -> Iterator[str]:
    """Yield changes that the result of an incomplete job lacks, and the command to type."""
    missing = [each for each in job.get("missing") or () if not each["chosen"]]
    found = list(_losses(missing))
    named = {each["worker_id"] for each in missing}
    for task in tasks_of(job):
        if task["status"] not in SUCCEEDED_WORKER and task["worker_id"] not in named:
            found.append(f"  {task['worker_id']} ({task['status']}): {task.get('reason') or ''}")
    told = f"Error: job {job['job_id']} is {job['status']}; nothing was changed"
    if not found:
        yield f"{told}: {job['reason']}" if job.get("reason") else told
        return
    yield f"{told}. Its result lacks:"
    yield from found
    if not named and job.get("reason"):
        yield f"  {job['reason']}"


def _losses(missing: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for each in missing:
        yield f"  {each['worker_id']}{place_of(each)}: {each['why']}"
        if each["command"]:
            yield f"    to {purpose(each)}: {each['command']}"


@click.command("undo")
@job_argument
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@project_option
@pass_surroundings
def undo_command(surroundings: CliContext, job_id: str, yes: bool) -> None:
    """Undo the landing of JOB.

    Refused if there are newer commits or uncommitted changes.
    """
    surroundings.check_user("undo")
    landing = landing_of(surroundings, job_id)
    if not yes and not confirmed(f"Reset {landing.branch()} to its state before job {job_id}?"):
        raise unconfirmed("undo")
    click.echo(landing.undo())


def landing_of(surroundings: CliContext, job_id: str) -> "Landing":
    """Return the landing of a job in its project, with or without a running server. Raise
    NotFound.
    """
    from orchestrator.app import landing

    surroundings.work_on_project_of(job_id)
    root_id = root_id_of(surroundings.workspace, job_id)
    return landing(surroundings.folder, surroundings.environ, root_id, job_id)
