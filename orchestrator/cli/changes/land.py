"""``orchestrator land`` and ``undo``: a job's changes in the project's repository."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from orchestrator.api.client.errors import ConflictError
from orchestrator.cli.command_context import CliContext, pass_cli_context, unconfirmed
from orchestrator.cli.command_line.parameters import job_argument, json_option, project_option
from orchestrator.cli.offline.jobs_on_disk import root_id_of, whole_job
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.error_messages import problem_of
from orchestrator.cli.output.exit_codes import ExitCode, of_job
from orchestrator.cli.output.job_summary import branch_text, ending_lines, purpose
from orchestrator.cli.output.status_answer import tasks_of
from orchestrator.cli.output.terminal_text import (
    command_with,
    confirmed,
    pasteable,
    printable,
    terminal_width,
)
from orchestrator.core.errors import (
    Conflict,
    Incomplete,
    NotFound,
    OtherBranch,
    RepositoryError,
)
from orchestrator.core.model.states import SUCCEEDED_WORKER, JobStatus, MergeState
from orchestrator.core.repository.landing import CONTINUES
from orchestrator.core.text.formatting import fence
from orchestrator.security.files.untrusted_files import read_regular

if TYPE_CHECKING:
    from orchestrator.git import Landing

#: Maximum bytes of the report in a pull request's text.
_MAX_REPORT_BYTES = 16 << 20
_HAS_RESULT = frozenset({MergeState.MERGED, MergeState.IN_PART})


@click.command("land")
@job_argument
@click.option("--ff-only", is_flag=True, help="Refuse to create a merge commit.")
@click.option("--no-ff", is_flag=True, help="Always create a merge commit.")
@click.option(
    "--squash", is_flag=True, help="Create one commit; its message lists all commits and authors."
)
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
@json_option
@project_option
@pass_cli_context
def land_command(
    context: CliContext,
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
    uncommitted changes or untracked files. If JOB is not completed, pass --partial. If JOB started
    from another branch, --yes is not enough: also pass --onto with the name of the current branch.

    With --pr, your branch does not change. The result branch is pushed to the remote of the branch
    that JOB started from. Then gh or glab opens a pull request to that branch, or to the branch
    that --onto names.
    """
    context.check_not_in_worker("land")
    flags = _chosen_method(ff_only=ff_only, no_ff=no_ff, squash=squash)
    if pr and flags:
        raise click.UsageError(
            f"--pr and --{flags[0].replace('_', '-')} conflict, because the hosting service merges "
            "a pull request; pass one of them"
        )
    landing = landing_of(context, job_id)
    fields: dict[str, Any] = {**dict.fromkeys(flags, True), "partial": partial}
    try:
        plan = _land(context, job_id, {**fields, "check": True})
    except (Incomplete, ConflictError) as error:
        return _print_missing_changes(context, job_id, landing, error)
    job = whole_job(context.workspace, job_id)
    if plan["nothing_to_land"]:
        if context.as_json:
            return _print(context, plan)
        losses = _lines_of_losses(job.get("missing") or ())
        lines = [plan["text"], *losses, *ending_lines(job, terminal_width())]
        click.echo(pasteable("\n".join(lines)), err=True)
        return ExitCode.OK
    if not pr and landing.is_landed():
        # Nothing will change, so the user is not asked.
        fields["onto"] = onto or plan["branch"].split(" ")[0]
        return _print(context, _land(context, job_id, fields))
    if not context.as_json:
        stat = printable(landing.diff(stat=True).decode("utf-8", "replace"))
        click.echo(stat, err=True, nl=False)
        for line in ending_lines(job, terminal_width()):
            click.echo(line, err=True)
    for continued_job in _continued_jobs(context, job):
        if description := incompleteness(continued_job):
            click.echo(f"Note: the landing includes an incomplete result: {description}", err=True)
    if pr:
        text = _open_pull_request(context, landing, job, onto or plan["base_branch"], yes=yes)
        return _print(context, {**plan, "text": text, "pull_request": text})
    fields["onto"] = _ask(context, job["job_id"], plan, onto=onto, yes=yes)
    return _print(context, _land(context, job_id, fields))


def _print(context: CliContext, answer: Mapping[str, Any]) -> int:
    """Print the text of an answer. With ``--json``, print the whole answer. Return OK."""
    click.echo(json.dumps(answer) if context.as_json else printable(answer["text"]))
    return ExitCode.OK


def _continued_jobs(context: CliContext, job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the unlanded jobs that ``job`` continues, the latest job first.

    Stop before a job that was landed or removed, or whose repository cannot be read.
    """
    visited_ids = {job["job_id"]}
    while (job_id := (job.get("labels") or {}).get(CONTINUES)) and job_id not in visited_ids:
        visited_ids.add(job_id)
        try:
            job = whole_job(context.workspace, job_id)
            if landing_of(context, job_id).is_landed():
                return
        except (NotFound, RepositoryError):
            return
        yield job


def incompleteness(job: Mapping[str, Any]) -> str:
    """Return an ended job's status and reason as text; "" if the job is completed."""
    if job["status"] == JobStatus.COMPLETED:
        return ""
    reason = f": {job['reason']}" if job.get("reason") else ""
    return pasteable(f"job {job['job_id']} is {job['status']}{reason}")


def _print_missing_changes(
    context: CliContext, job_id: str, landing: "Landing", error: "Incomplete | ConflictError"
) -> int:
    """Print what the result of an incomplete job lacks. Return the exit code of the job's status.

    If the job has not ended, return FAILED. ``error``: the error with which the API's call ``land``
    failed. If the cause of ``error`` is not an incomplete result, raise ``error`` again.
    """
    if getattr(error, "slug", error.kind) != Incomplete.kind:
        raise error
    job = whole_job(context.workspace, job_id)
    status = JobStatus(job["status"])
    exit_code = of_job(status) if status.ended else ExitCode.FAILED
    if context.as_json:
        click.echo(json.dumps(problem_of(error)), err=True)
        return exit_code
    has_result = _has_result(landing)
    if status.ended and not has_result and job.get("merge_state") == MergeState.NONE:
        lines = [f"Error: {error.message}"]
    else:
        lines = list(_lines_on_missing_changes(job))
    if has_result:
        lines.append(f"to land the incomplete result: {COMMAND} land {job['job_id']} --partial")
    elif job.get("merge_state") != MergeState.NONE:
        lines.append(f"to show commands that merge the changes: {COMMAND} status {job['job_id']}")
    click.echo(pasteable("\n".join(lines)), err=True)
    return exit_code


def _has_result(landing: "Landing") -> bool:
    try:
        landing.result()
    except NotFound:
        return False
    return True


def _open_pull_request(
    context: CliContext,
    landing: "Landing",
    job: Mapping[str, Any],
    base: str,
    *,
    yes: bool,
) -> str:
    """Push the result, and return the output of ``gh`` or ``glab``: the pull request's address."""
    from orchestrator.engine.service.triggers.pull_requests import record_opened
    from orchestrator.git import PullRequest

    job_id, request = job["job_id"], str(job.get("request") or "")
    if not base:
        raise Conflict(
            f"job {job_id} did not start from a branch; nothing was changed; name the target: "
            f"{COMMAND} land {job_id} --pr --onto BRANCH"
        )
    pull_request = PullRequest(
        project=landing.project,
        environ=context.environ,
        commit=landing.to_push(),
        head=landing.head,
        base=base,
        title=landing.title(request),
        body=_body(job, request, landing.diff(stat=True).decode("utf-8", "replace")),
    )
    remote, tool = pull_request.check()
    question = f"Push {landing.head} to {remote} and open a pull request onto {base}?"
    if not yes and (context.as_json or not confirmed(question)):
        raise unconfirmed("push")
    text = pull_request.open(remote, tool)
    record_opened(context.workspace, job["job_id"], job["run"])
    return text


def _body(job: Mapping[str, Any], request: str, stat: str) -> str:
    """Return a pull request's text: the request, the report's first part, and the changed files."""
    report = (job.get("results") or {}).get("final_report")
    text = (read_regular(report, _MAX_REPORT_BYTES) if report else None) or b""
    summary = text.decode("utf-8", "replace").partition("\n## ")[0].lstrip("# ").strip()
    parts = (request.strip(), f"## Result\n\n{summary}", fence(stat.rstrip(), "text"))
    return "\n\n".join((*parts, f"Orchestrator-Job: {job['job_id']}")) + "\n"


def _ask(
    context: CliContext, job_id: str, plan: Mapping[str, Any], *, onto: str | None, yes: bool
) -> str | None:
    """Ask the user to confirm the landing. Return the field ``onto`` of the API's call ``land``.

    The field is the current branch if ``onto`` is None and the job started from another branch.
    Otherwise, the field is ``onto``. Raise Conflict if the user declines, or if ``--json``
    prevents the question.
    """
    branch, base = plan["branch"], plan["base_branch"]
    name = branch.split(" ")[0]
    may_ask = not context.as_json
    if base in ("", name) or onto:
        # If ``onto`` is not the current branch, ask nothing, because the call will be rejected.
        is_named = onto in (None, name)
        question = f"Land job {job_id} on {branch}?"
        if is_named and not yes and not (may_ask and confirmed(question)):
            raise unconfirmed("land")
        return onto
    command = command_with("--onto", name, *(() if yes else ("--yes",)))
    question = f"Job {job_id} started from {base}. Land it on {branch} instead?"
    if not (may_ask and confirmed(question)):
        raise OtherBranch(
            f"job {job_id} started from branch {base}, but the current branch is {branch}; "
            f"nothing was changed; to land it on {name}: {command}"
        )
    return str(name)


def _chosen_method(**options: bool) -> list[str]:
    """Return a list with the name of the option that is True; [] if no option is True.

    Raise UsageError if several options are True.
    """
    chosen = [name for name, is_given in options.items() if is_given]
    if len(chosen) > 1:
        names = " and ".join(f"--{each.replace('_', '-')}" for each in chosen)
        raise click.UsageError(f"{names} conflict; pass one of them")
    return chosen


def _lines_on_missing_changes(job: Mapping[str, Any]) -> Iterator[str]:
    missing = [each for each in job.get("missing") or () if not each["chosen"]]
    lines = list(_lines_of_losses(missing))
    missing_ids = {each["worker_id"] for each in missing}
    covered_ids = missing_ids | _workers_in_result(job)
    # If a candidate succeeded, the result does not lack the other candidates of its task.
    done_tasks = {each["task_id"] for each in tasks_of(job) if each["status"] in SUCCEEDED_WORKER}
    for task in tasks_of(job):
        if task["task_id"] not in done_tasks and task["worker_id"] not in covered_ids:
            lines.append(f"  {task['worker_id']} ({task['status']}): {task.get('reason') or ''}")
    text = f"Error: job {job['job_id']} is {job['status']}; nothing was changed"
    if not lines:
        yield f"{text}: {job['reason']}" if job.get("reason") else text
        return
    yield f"{text}. The job's result lacks:"
    yield from lines
    if not missing_ids and job.get("reason"):
        yield f"Why: {job['reason']}"


def _workers_in_result(job: Mapping[str, Any]) -> set[str]:
    """Return the workers whose changes are in the result of an ended job.

    Changes of unsuccessful workers are in the result only after ``merge --include``. Return an
    empty set if the job has not ended, or has no result.
    """
    if not JobStatus(job["status"]).ended or job.get("merge_state") not in _HAS_RESULT:
        return set()
    not_in_result = {each["worker_id"] for each in job.get("made_not_in_result") or ()}
    workers_with_files = {each["worker_id"] for each in tasks_of(job) if each.get("files_created")}
    return workers_with_files - not_in_result


def _lines_of_losses(missing: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for loss in missing:
        yield f"  {loss['worker_id']}{branch_text(loss)}: {loss['why']}"
        if loss["command"]:
            yield f"    to {purpose(loss)}: {loss['command']}"


@click.command("undo")
@job_argument
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@json_option
@project_option
@pass_cli_context
def undo_command(context: CliContext, job_id: str, yes: bool) -> None:
    """Undo the landing of JOB.

    Fails if the branch has newer commits, or the checkout has uncommitted changes.
    """
    context.check_not_in_worker("undo")
    landing = landing_of(context, job_id)
    landing.check_undoable()
    question = f"Reset {landing.branch()} to its state before job {job_id}?"
    if not yes and (context.as_json or not confirmed(question)):
        raise unconfirmed("undo")
    _print(context, _undo(context, job_id))


def _land(context: CliContext, job_id: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Execute the API's call ``land`` with ``fields``, and return the answer.

    The running server executes the call. If no server runs, this process executes the call.
    """
    client = context.client_if_running()
    if client is not None:
        with client:
            return client.land(job_id, **fields)
    from orchestrator.api.serializers.answer_parts import job_path
    from orchestrator.api.serializers.landing import land_answer, landing_plan_answer
    from orchestrator.schemas.requests_with_answers.merge_and_landing import LandBody

    body = LandBody(**fields)
    serialize = landing_plan_answer if body.check else land_answer
    with context.local_service() as (service, caller):
        answer = serialize(service, caller, job_id, body.to_request()).as_json()
    if not body.check:
        context.note_in_audit_log("land", f"{job_path(job_id)}/land")
    return answer


def _undo(context: CliContext, job_id: str) -> Mapping[str, Any]:
    client = context.client_if_running()
    if client is not None:
        with client:
            return client.undo(job_id)
    from orchestrator.api.serializers.answer_parts import job_path
    from orchestrator.api.serializers.landing import undo_answer

    with context.local_service() as (service, caller):
        answer = undo_answer(service, caller, job_id).as_json()
    context.note_in_audit_log("undo", f"{job_path(job_id)}/undo")
    return answer


def landing_of(context: CliContext, job_id: str) -> "Landing":
    """Return the object that lands a job in the job's project. Needs no running server.

    Raise NotFound if the job does not exist.
    """
    from orchestrator.composition import landing

    context.work_on_project_of(job_id)
    root_id = root_id_of(context.workspace, job_id)
    return landing(context.folder, context.environ, root_id, job_id)
