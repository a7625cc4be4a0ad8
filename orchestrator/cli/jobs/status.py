"""``orchestrator status``: one job as a tree, or the latest jobs.

Works with or without a running server.
"""

import json
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import click

from orchestrator.api.client.errors import ApiError
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option, optional_job_argument
from orchestrator.cli.doctor.leftover_processes import leftover_message
from orchestrator.cli.jobs.list_jobs import no_server_note, show_jobs
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode, of_job
from orchestrator.cli.output.status_lines import status_lines
from orchestrator.cli.output.terminal_text import pasteable, terminal_width
from orchestrator.core.errors import NotFound, OrchestratorError
from orchestrator.core.model.states import ENDED_JOB

WATCH_SECONDS = 1.0
LISTED_JOBS = 20


@click.command("status")
@optional_job_argument
@click.option("--watch", is_flag=True, help="Refresh every second until the job has ended.")
@json_option
@pass_cli_context
def status_command(context: CliContext, job_id: str | None, watch: bool) -> int:
    """Show the status of JOB, or the latest jobs.

    If JOB has ended, the exit code is the same as of `run` and `wait`: 0 if JOB is completed.
    """
    if job_id is None:
        if watch:
            raise click.UsageError(f"--watch needs a JOB; list the jobs: {COMMAND} jobs")
        show_jobs(context, None, LISTED_JOBS)
        _show_leftovers(context)
        return ExitCode.OK
    final = _watched_on_terminal(context, job_id) if watch else None
    previous_lines: list[str] = []
    notes: set[str] = set()

    def note_once(text: str) -> None:
        if text not in notes:
            notes.add(text)
            _print_note(text)

    while True:
        answer = (
            _last_status(context, final) if final else find_status(context, job_id, note=note_once)
        )
        # Compare without the first line, which has the time and always changes. A pipe gets the
        # lines only if another line has changed.
        lines = status_lines(answer, terminal_width())
        new_lines = [answer["status"], *lines[1:]]
        if context.as_json or sys.stdout.isatty() or new_lines != previous_lines:
            _show(context, answer, lines, clear=watch)
        previous_lines = new_lines
        if answer["status"] in ENDED_JOB:
            return of_job(str(answer["status"]))
        if not watch:
            return ExitCode.OK
        time.sleep(WATCH_SECONDS)


def _last_status(context: CliContext, final: dict[str, Any]) -> dict[str, Any]:
    # ``final`` lacks the workers of child jobs, so read the status again.
    try:
        return find_status(context, str(final["job_id"]))
    except OrchestratorError:
        return final


def _watched_on_terminal(context: CliContext, job_id: str) -> dict[str, Any] | None:
    """Show a job in place on the terminal until it has ended, and return its final status.

    Return None if no server runs, or if there is no suitable terminal.
    """
    from orchestrator.cli.follow.display import LiveDisplay, display_for
    from orchestrator.cli.follow.follow import stop_signals_interrupt, watch

    display = display_for(context, sys.stdout)
    if not isinstance(display, LiveDisplay):
        return None
    client = context.client_if_running()
    if client is None:
        return None

    def body() -> list[str]:
        # No notes: in a live display, they would be printed into the lines that change in place.
        answer = find_status(context, job_id, note=lambda _: None)
        return [display.styled(line) for line in status_lines(answer, terminal_width())]

    with client, stop_signals_interrupt():
        # Read the status first, so that NotFound is raised before anything is printed.
        if client.status(job_id)["status"] in ENDED_JOB:
            return None
        return watch(context, client, job_id, display, body=body)


def _print_note(text: str) -> None:
    click.echo(text, err=True)


def find_status(
    context: CliContext, job_id: str, *, note: Callable[[str], None] = _print_note
) -> dict[str, Any]:
    """Return the status of a job, from the server, or from the job's files if no server runs.

    ``note`` is called with a message if the status of an unfinished job comes from its files. With
    ``--json``, the status is the API's answer. Without ``--json``, the status also has the workers
    of all child jobs. Raise NotFound for an unknown job.
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
            return _stored_status(context, job_id, error, note)
    answer = _status_on_disk(context, job_id)
    if answer["status"] not in ENDED_JOB and (text := no_server_note(context)):
        note(text)
    return answer


def _status_on_disk(context: CliContext, job_id: str) -> dict[str, Any]:
    from orchestrator.cli.offline.jobs_on_disk import find_job, whole_job

    return (find_job if context.as_json else whole_job)(context.workspace, job_id)


def _stored_status(
    context: CliContext, job_id: str, error: ApiError, note: Callable[[str], None]
) -> dict[str, Any]:
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
    note(f"the server cannot read the job ({error.message}); stored status, from {stamp}:")
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
    leftovers = None if context.as_json else leftover_message(context.workspace, root_id)
    if leftovers is not None:
        message, command = leftovers
        click.echo(f"{pasteable(message)}\n  to end these processes: {command}")
