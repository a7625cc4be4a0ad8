"""``orchestrator status``: one job as a tree, or all jobs.

Works with or without a running server.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import click

from orchestrator.api.client.errors import ApiError
from orchestrator.cli.command_context import CliContext, json_option, pass_cli_context
from orchestrator.cli.doctor.leftover_processes import leftover_message
from orchestrator.cli.jobs.list_jobs import show_jobs, warn_if_no_server
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode, of_job
from orchestrator.cli.output.job_summary import (
    STATUS_WIDTH,
    cap_line,
    ending_lines,
    landed_lines,
    outcome_line,
    purpose,
    summary_line,
    used_line,
)
from orchestrator.cli.output.status_answer import tasks_of
from orchestrator.cli.output.terminal_text import (
    first_line,
    paint,
    pasteable,
    terminal_width,
)
from orchestrator.core.errors import NotFound, OrchestratorError
from orchestrator.core.model.states import ENDED_JOB

WATCH_SECONDS = 1.0
LISTED_JOBS = 20
MAX_LINES = 200
#: Maximum number of named workers with unmerged changes.
MOST_OUTSIDE = 5


def _bare_id(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return value.rstrip("/").rpartition("/")[2].removeprefix("job_") if value else None


@click.command("status")
@click.argument("job_id", metavar="[JOB]", required=False, callback=_bare_id)
@click.option("--watch", is_flag=True, help="Refresh every second until the job has ended.")
@json_option
@pass_cli_context
def status_command(context: CliContext, job_id: str | None, watch: bool) -> int:
    """Show the status of JOB, or list all jobs.

    The exit code for an ended JOB is that of `run` and `wait`: 0 if JOB is completed.
    """
    if job_id is None:
        if watch:
            raise click.UsageError(f"--watch needs a JOB; list the jobs: {COMMAND} jobs")
        show_jobs(context, None, LISTED_JOBS)
        _show_leftovers(context)
        return ExitCode.OK
    last = _watched_on_terminal(context, job_id) if watch else None
    shown: list[str] = []
    while True:
        answer = _last_status(context, last) if last else find_status(context, job_id)
        # Ignore the first line, which has the time: a pipe gets the lines only after another
        # change.
        lines = status_lines(answer, terminal_width())
        changed = [answer["status"], *lines[1:]]
        if context.as_json or sys.stdout.isatty() or changed != shown:
            _show(context, answer, lines, clear=watch)
        shown = changed
        if answer["status"] in ENDED_JOB:
            return of_job(str(answer["status"]))
        if not watch:
            return ExitCode.OK
        time.sleep(WATCH_SECONDS)


def _last_status(context: CliContext, last: dict[str, Any]) -> dict[str, Any]:
    # The last answer lacks the workers of child jobs.
    try:
        return find_status(context, str(last["job_id"]))
    except OrchestratorError:
        return last


def _watched_on_terminal(context: CliContext, job_id: str) -> dict[str, Any] | None:
    """Show a job in place on the terminal until it has ended, and return its final status.

    Return None if no server runs, or if there is no suitable terminal.
    """
    from orchestrator.cli.follow.display import LiveDisplay, display_for
    from orchestrator.cli.follow.follow import stop_signals_interrupt, watch

    display, client = display_for(context, sys.stdout), context.client_if_running()
    if client is None or not isinstance(display, LiveDisplay):
        return None

    def body() -> list[str]:
        answer = find_status(context, job_id)
        return [display.styled(line) for line in status_lines(answer, terminal_width())]

    with client, stop_signals_interrupt():
        # Ask first, so that NotFound is raised before anything is printed.
        if client.status(job_id)["status"] in ENDED_JOB:
            return None
        return watch(context, client, job_id, display, body=body)


def find_status(context: CliContext, job_id: str) -> dict[str, Any]:
    """Return the status of a job, from the server, or from the job's files if no server runs.

    With ``--json``, the status is the API's answer. Without ``--json``, it also has the workers of
    all child jobs. Raise NotFound.
    """
    as_api = context.as_json
    client = context.client_if_running()
    if client is not None:
        from orchestrator.cli.output.complete_status import status_with_all_workers

        try:
            with client:
                return status_with_all_workers(client, job_id, of_last_child_jobs=as_api)
        except ApiError as error:
            if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return _stored_status(context, job_id, error)
    answer = _status_on_disk(context, job_id)
    if answer["status"] not in ENDED_JOB:
        warn_if_no_server(context)
    return answer


def _status_on_disk(context: CliContext, job_id: str) -> dict[str, Any]:
    from orchestrator.cli.offline.jobs_on_disk import find_job, whole_job

    return (find_job if context.as_json else whole_job)(context.workspace, job_id)


def _stored_status(context: CliContext, job_id: str, error: ApiError) -> dict[str, Any]:
    """Return a job's status from its files, while the server cannot read its database.

    ``error``: the server's error, which is raised again if the job has no files.
    """
    from orchestrator.cli.offline.jobs_on_disk import root_id_of, written_at

    try:
        answer = _status_on_disk(context, job_id)
        at = written_at(context.workspace, root_id_of(context.workspace, job_id))
    except NotFound:
        raise error from None
    stamp = time.strftime("%H:%M:%S", time.localtime(at))
    click.echo(f"the server cannot read the job ({error.message}); status of {stamp}:", err=True)
    return answer


def _show(context: CliContext, answer: dict[str, Any], lines: list[str], clear: bool) -> None:
    if context.as_json:
        click.echo(json.dumps(answer, indent=None if clear else 2))
        return
    if clear and answer["status"] not in ENDED_JOB:
        click.clear()
    click.echo("\n".join(lines))
    if answer["status"] not in ENDED_JOB:
        from orchestrator.cli.jobs.inbox import open_needs

        for line in open_needs(context, str(answer["job_id"])):
            click.echo(line)
    _show_leftovers(context, str(answer["job_id"]))


def _show_leftovers(context: CliContext, root_id: str | None = None) -> None:
    found = None if context.as_json else leftover_message(context.workspace, root_id)
    if found is not None:
        message, command = found
        click.echo(f"{pasteable(message)}\n  to end these processes: {command}")


def _show_all(answer: Mapping[str, Any]) -> str:
    return f"show all: {COMMAND} status {answer.get('job_id')} --json"


def _outside_lines(answer: Mapping[str, Any], width: int) -> list[str]:
    """Return lines about changes that are not in the merged result.

    The lines have the commands that merge or show the changes.
    """
    lines = []
    found = answer.get("made_not_in_result") or ()
    for each in found[:MOST_OUTSIDE]:
        where, why = each["branch"] or "no branch", first_line(each["why"], width)
        of = f" of job {each['job_id']}" if each["job_id"] != answer.get("job_id") else ""
        lines.append(f"  not merged: {each['worker_id']}{of} ({where}): {why}")
        if each["command"]:
            lines.append(f"    to {purpose(each)}: {pasteable(each['command'])}")
        # Files of earlier versions have no command that shows the changes.
        if each.get("show") not in (None, "", each["command"]):
            lines.append(f"    to show the changes: {pasteable(each['show'])}")
        if each["otherwise"]:
            lines.append(
                "    to merge these changes now, with the better result in each conflict: "
                f"{pasteable(each['otherwise'])}"
            )
    if len(found) > MOST_OUTSIDE:
        lines.append(f"  ... and {len(found) - MOST_OUTSIDE} more; {_show_all(answer)}")
    return lines


def status_lines(answer: Mapping[str, Any], width: int) -> list[str]:
    lines = [outcome_line(answer)]
    if answer.get("request"):
        lines.append(f"  {first_line(answer['request'], width - 2)}")
    lines += _outside_lines(answer, width)
    tree = list(_tree(tasks_of(answer), 1, width))
    lines += tree[:MAX_LINES]
    if len(tree) > MAX_LINES:
        lines.append(f"  ... and {len(tree) - MAX_LINES} more lines; {_show_all(answer)}")
    if used := used_line(answer.get("usage") or {}):
        lines.append(used)
    if caps := cap_line(answer.get("caps") or {}):
        lines.append(caps)
    lines += landed_lines(answer)
    results = answer.get("results") or {}
    if answer["status"] in ENDED_JOB and results.get("final_report"):
        lines.append(f"Result: {results['final_report']}")
    elif results.get("workspace"):
        lines.append(f"Logs:   {results['workspace']}/logs")
    return [*lines, *ending_lines(answer, width, above=tree[:MAX_LINES])]


def _session_line(task: Mapping[str, Any], indent: str) -> Iterator[str]:
    """If a worker was retried, yield a line that tells if the retry resumed the session."""
    session = task.get("session")
    if session and session["attempt"] > 1:
        how = "resumed session" if session["resumed"] else "new session"
        yield f"{indent}attempt {session['attempt']}: {how} {session['id']}"


def _tree(tasks: list[Mapping[str, Any]], depth: int, width: int) -> Iterator[str]:
    for task in tasks:
        name = "  " * depth + str(task.get("worker_id") or "")
        note = summary_line(task, max(20, width - 25 - STATUS_WIDTH))
        yield f"{name:<22} {paint(str(task.get('status')), STATUS_WIDTH)} {note}".rstrip()
        yield from _session_line(task, "  " * (depth + 1))
        yield from _tree(task.get("child_results") or [], depth + 1, width)
