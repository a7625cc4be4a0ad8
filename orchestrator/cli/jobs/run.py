"""``orchestrator run``: submits a request, and follows its job to the end."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option, project_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode, of_job
from orchestrator.cli.output.terminal_text import terminal_width
from orchestrator.cli.plan.job_options import (
    JobOptions,
    RequestCommand,
    check_plan,
    job_of_options,
    request_options,
)
from orchestrator.core.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.api.client import OrchestratorClient
    from orchestrator.cli.follow.display import Display
    from orchestrator.cli.follow.run_notifications import RunNotifications


@click.command("run", cls=RequestCommand)
@request_options
@click.option("--plan-only", is_flag=True, help="Show the plan, and run no task.")
@click.option(
    "--keep-server", is_flag=True, help="Do not stop the server that this command started."
)
@click.option(
    "--notify", is_flag=True, help="Show a desktop notification when the job needs you or ends."
)
@json_option
@project_option
@pass_cli_context
def run_command(
    context: CliContext, /, plan_only: bool, keep_server: bool, notify: bool, **options: Any
) -> int:
    """Run REQUEST until its job has ended, with live progress.

    Uses the running server. If no server runs, starts a server, and stops it after the job. The
    first Ctrl-C stops the job; the second exits at once. A closed terminal also stops the job, but
    a closed pipe does not, for example in `run REQUEST | head`. With - as REQUEST, reads standard
    input.
    """
    from orchestrator.cli.follow.follow import stop_signals_interrupt

    # If the home does not exist yet, check the plan first, because an invalid plan must not create
    # a home.
    job = job_of_options(**options, is_checked_later=not plan_only and context.folder.is_dir())
    with stop_signals_interrupt():
        if plan_only:
            return _plan_only(context, job, keep_server)
        return run_to_its_end(context, job, keep_server, notify=notify)


def _plan_only(context: CliContext, job: JobOptions, keep_server: bool) -> int:
    from orchestrator.cli.plan.plan_command import show_plan
    from orchestrator.cli.plan.plan_review import draft, planning_agent, reject
    from orchestrator.cli.server.background_server import project_line

    if planning_agent(context, job) is None:
        click.echo(project_line(context), err=True)
        return show_plan(context, job, as_yaml=False)
    from orchestrator.cli.follow.display import display_for
    from orchestrator.cli.server.background_server import server_at

    say = display_for(context).say
    with (
        server_at(context, say, keep_server) as url,
        context.client_at(url) as client,
    ):
        plan = draft(context, client, job)
        if plan.job_id is not None:
            reject(client, plan.job_id, "--plan-only runs no task")
    code = show_plan(context, job, as_yaml=False, draft=plan)
    if plan.job_id is not None:
        note = f"job {plan.job_id} has this plan; it is listed as cancelled, because no task ran"
        click.echo(note, err=True)
    return code


def run_to_its_end(
    context: CliContext, job: JobOptions, keep_server: bool, *, notify: bool = False
) -> int:
    """Run a job with live progress, and return its exit code.

    Return INTERRUPTED if the user exits before the job has ended.
    """
    from orchestrator.cli.follow.display import display_for
    from orchestrator.cli.follow.follow import UserExited
    from orchestrator.cli.server.background_server import server_at

    display, notifications = display_for(context), None
    if notify:
        from orchestrator.cli.follow.run_notifications import RunNotifications

        needs_approval = bool(job.config.get("approve"))
        notifications = RunNotifications(display.say, needs_approval=needs_approval)
    try:
        with server_at(context, display.say, keep_server, job.unchecked_plan) as url:
            return _run_at(url, context, job, display, notifications)
    except UserExited as exited:
        status = f"{COMMAND} status {exited.job_id}"
        click.echo(f"job {exited.job_id} has not ended; show its status: {status}", err=True)
        return ExitCode.INTERRUPTED


def _run_at(
    url: str,
    context: CliContext,
    job: JobOptions,
    display: "Display",
    notifications: "RunNotifications | None",
) -> int:
    from orchestrator.cli.follow.follow import follow
    from orchestrator.cli.output.standard_streams import reader_may_leave
    from orchestrator.cli.plan.plan_review import notes_on, start

    with context.client_at(url) as client:
        try:
            accepted = start(context, client, job)
        except OrchestratorError:
            check_plan(job.unchecked_plan)
            raise
        job_id = str(accepted["job_id"])
        display.say(f"job {job_id} accepted")
        for note in notes_on(accepted):
            display.say(note)
        if job.config.get("approve") and accepted["status"] == "planning":
            display.say(f"waiting for approval; start the tasks: {COMMAND} approve {job_id}")
        try:
            on_event = notifications.event if notifications else None
            answer, interrupted = follow(context, client, job_id, display, on_event)
        finally:
            display.close()
        if not context.as_json:
            _add_details(client, answer)
    if notifications is not None:
        notifications.ended(answer)
    with reader_may_leave(sys.stdout):
        _show(answer, context)
    if interrupted and answer["status"] == "cancelled":
        return ExitCode.INTERRUPTED
    return of_job(str(answer["status"]))


def _add_details(client: "OrchestratorClient", answer: dict[str, Any]) -> None:
    """Add what a job's status lacks: usage with child jobs, base, result branch, tasks' workdir.

    Add nothing if the server has stopped.
    """
    from orchestrator.cli.output.status_answer import tasks_of

    job_id = str(answer["job_id"])
    try:
        job = client.job(job_id)
        usage = client.tree(job_id).get("usage")
        result_branch = client.conflicts(job_id).get("branch")
    except OrchestratorError:
        return
    base = (job.get("config") or {}).get("base")
    answer |= {"usage": usage, "base": base, "result_branch": result_branch}
    workdirs = {task["id"]: task.get("workdir") for task in job.get("tasks", ())}
    if tasks := tasks_of(answer):
        tasks = [{**task, "workdir": workdirs.get(task.get("task_id"))} for task in tasks]
        answer["results"] = {**answer["results"], "tasks": tasks}


def _show(answer: dict[str, Any], context: CliContext) -> None:
    from orchestrator.cli.output.job_summary import summary_lines

    answer.pop("timed_out", None)
    if not context.as_json:
        click.echo("\n".join(summary_lines(answer, terminal_width())))
        return
    json.dump(answer, sys.stdout, indent=2)
    click.echo()
