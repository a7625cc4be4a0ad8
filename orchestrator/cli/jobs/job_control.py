"""Commands that control a job.

``orchestrator wait``, ``pause``, ``resume``, ``budget``, ``cancel``, ``message`` and ``retry``.
"""

import json
import math
import sys
from contextlib import suppress
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.agents_in_help import AgentsInHelp
from orchestrator.cli.command_line.parameters import (
    Count,
    Seconds,
    job_argument,
    json_option,
    optional_job_argument,
)
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode, of_job
from orchestrator.cli.plan.job_options import cap_options
from orchestrator.cli.worker_names import worker_of
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.states import ENDED_JOB, ENDED_WORKER, JobStatus


@click.command("wait")
@job_argument
@click.option(
    "--timeout",
    type=Seconds(min=0),
    metavar="S",
    help="Maximum time to wait, in seconds (then exit code 124).",
)
@json_option
@pass_cli_context
def wait_command(context: CliContext, job_id: str, timeout: float | None) -> int:
    """Wait until JOB has ended, and exit with JOB's exit code.

    Prints the status. The reasons of the status, if any, follow on standard error, with the
    commands that merge missing changes, answer questions, and retry tasks.
    """
    from orchestrator.cli.jobs.inbox import open_needs
    from orchestrator.cli.jobs.status import find_status
    from orchestrator.cli.output.job_summary import ending_lines, repeat_lines
    from orchestrator.cli.output.terminal_text import terminal_width

    answer = _ended_on_disk(context, job_id)
    if answer is None:
        answer = _wait(context, job_id, timeout)
    answer_with_reasons = answer
    if answer.pop("timed_out", False):
        click.echo(f"job {job_id} is still {answer['status']}", err=True)
        for line in open_needs(context, job_id):
            click.echo(line, err=True)
        # Until a worker has ended, the answer has no workers, and thus no reasons of waits.
        with suppress(OrchestratorError):
            answer_with_reasons = find_status(context, job_id)
    print_status(context, answer)
    ending = ending_lines(answer_with_reasons, terminal_width())
    for line in [*ending, *repeat_lines(answer)]:
        click.echo(line, err=True)
    return of_job(str(answer["status"]))


def _wait(context: CliContext, job_id: str, timeout: float | None) -> dict[str, Any]:
    """Wait until the job has ended, at most ``timeout`` seconds, and return its status."""
    from orchestrator.cli.follow.blocked_reason import no_answer_line
    from orchestrator.cli.follow.display import LiveDisplay, display_for
    from orchestrator.cli.follow.follow import stop_signals_interrupt, watch

    display = display_for(context)
    if isinstance(display, LiveDisplay):
        seconds = math.inf if timeout is None else timeout
        with context.client() as client, stop_signals_interrupt():
            return watch(context, client, job_id, display, seconds=seconds)

    def announce(seconds: float) -> None:
        click.echo(no_answer_line(context, client.api_url, seconds), err=True)

    with context.client(announce) as client:
        return client.wait(job_id, timeout)


def _ended_on_disk(context: CliContext, job_id: str) -> dict[str, Any] | None:
    """If no server runs, return the status of an ended job from the job's files.

    Return None if a server runs, or if the job has not ended. Raise NotFound for an unknown job.
    """
    from orchestrator.cli.offline.jobs_on_disk import find_job

    if context.address_if_running() is not None:
        return None
    answer = find_job(context.workspace, job_id)
    return answer if of_job(str(answer["status"])) != ExitCode.TIMED_OUT else None


@click.command("pause")
@optional_job_argument
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Pause all jobs, including jobs that are submitted later.",
)
@click.option("--stop", is_flag=True, help="Stop running attempts; they run again after the pause.")
@json_option
@pass_cli_context
def pause_command(context: CliContext, job_id: str | None, everything: bool, stop: bool) -> None:
    """Pause JOB and its child jobs, or all jobs.

    Nothing new starts until `resume`. Running attempts continue to their end. With --stop, running
    attempts are stopped, and run again after the pause, without using a retry. A pause does not
    count as wall time.
    """
    _check_one(job_id, everything)
    running = "stop" if stop else "finish"
    with context.client() as client:
        _print_pause(context, client.pause(job_id, running=running))


_ALL_RESUMED = "the pause of all jobs has ended; jobs that were paused individually stay paused"


@click.command("resume")
@optional_job_argument
@click.option("--all", "everything", is_flag=True, help="End the pause that `pause --all` began.")
@json_option
@pass_cli_context
def resume_command(context: CliContext, job_id: str | None, everything: bool) -> None:
    """Resume JOB and its child jobs, or all jobs.

    If JOB is a child job, its parent job stays paused. A job that paused at a cap or at its maximum
    wall time continues after `budget`, not after this command.
    """
    _check_one(job_id, everything)
    with context.client() as client:
        _print_pause(context, client.resume(job_id))


def _check_one(job_id: str | None, everything: bool) -> None:
    if bool(job_id) == everything:
        raise click.UsageError(f"pass either a job or --all; list jobs: {COMMAND} jobs")


def _print_pause(context: CliContext, answer: dict[str, Any]) -> None:
    if context.as_json:
        click.echo(json.dumps(answer))
        return
    paused = answer.get("paused")
    if paused and paused.get("cause") == "everything":
        click.echo(f"all jobs are paused (API key: {paused['by']}); resume: {COMMAND} resume --all")
        return
    if not paused:
        click.echo(answer.get("status") or _ALL_RESUMED)
        return
    by = paused["by"] if paused.get("cause") == "limit" else f"key {paused['by']!r}"
    click.echo(f"paused by {by}")


@click.command("budget")
@job_argument
@cap_options
@click.option(
    "--max-wall",
    "max_wall_seconds",
    type=Seconds(min=0, min_open=True),
    metavar="S",
    help="Maximum wall time of the job, in seconds.",
)
@json_option
@pass_cli_context
def budget_command(context: CliContext, /, job_id: str, **limits: Any) -> None:
    """Raise caps or the maximum wall time of JOB.

    A job that was started with `--on-limit ask` pauses at a cap, or at its maximum wall time.
    The job continues when you raise this limit. The job is stopped if the limit was not raised
    within `ask_seconds`.
    """
    new_limits = {name: value for name, value in limits.items() if value is not None}
    if not new_limits:
        raise click.UsageError("name a limit, such as --max-cost 5")
    with context.client() as client:
        answer = client.raise_budget(job_id, **new_limits)
    if context.as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo("paused" if answer.get("paused") else answer["status"])


@click.command("cancel")
@job_argument
@click.argument("worker_id", metavar="[WORKER]", required=False)
@json_option
@pass_cli_context
def cancel_command(context: CliContext, job_id: str, worker_id: str | None) -> None:
    """Cancel JOB and its child jobs, and stop their processes.

    With WORKER, stops this worker and its child jobs only; the other workers of JOB continue.
    """
    if worker_id:
        _cancel_worker(context, job_id, worker_of(context, job_id, worker_id))
        return
    with context.client() as client:
        answer = client.cancel(job_id)
    print_status(context, answer)
    if context.as_json:
        return
    if answer["status"] not in ENDED_JOB:
        click.echo(f"stopping job {job_id}; wait for its end: {COMMAND} wait {job_id}", err=True)
    elif answer["status"] != JobStatus.CANCELLED:
        click.echo(f"job {job_id} has already ended; nothing was cancelled", err=True)


def _cancel_worker(context: CliContext, job_id: str, worker_id: str) -> None:
    with context.client() as client:
        workers = [] if context.as_json else client.tree(job_id)["workers"]
        answer = client.cancel_worker(job_id, worker_id)
    print_status(context, answer)
    if context.as_json:
        return
    before = next((each["status"] for each in workers if each["worker_id"] == worker_id), None)
    if before in ENDED_WORKER:
        note = f"{worker_id} has already ended ({before}); nothing was cancelled"
    else:
        note = f"stopping {worker_id}; show the job: {COMMAND} status {job_id}"
    click.echo(note, err=True)


@click.command("message", cls=AgentsInHelp, is_listed=lambda agent: agent.reads_messages)
@job_argument
@click.argument("worker_id", metavar="WORKER")
@click.argument("text", metavar="TEXT")
@json_option
@pass_cli_context
def message_command(context: CliContext, job_id: str, worker_id: str, text: str) -> None:
    """Send TEXT to an unfinished WORKER of JOB.

    The worker's agent reads TEXT before its next step. Only workers of {agents} can read messages.
    With - as TEXT, reads standard input.
    """
    if text == "-":
        text = sys.stdin.read()
    with context.client() as client:
        worker_id = worker_of(context, job_id, worker_id)
        answer = client.message(job_id, worker_id, text)
    if context.as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(f"message sent to {worker_id}; its agent reads the message before the next step")


@click.command("retry")
@job_argument
@click.argument("worker_id", metavar="[WORKER]", required=False)
@click.option(
    "--timeout",
    "default_timeout",
    type=Seconds(min=0, min_open=True),
    metavar="S",
    help="Timeout of one attempt, in seconds; replaces the timeout that a task sets.",
)
@click.option(
    "--max-workers",
    type=Count(min=1),
    metavar="N",
    help="Maximum number of workers that run in parallel.",
)
@click.option(
    "--max-retries",
    type=Count(min=0),
    metavar="N",
    help="Maximum number of retries of a failed worker; replaces the number that a task sets.",
)
@cap_options
@json_option
@pass_cli_context
def retry_command(
    context: CliContext, /, job_id: str, worker_id: str | None, **options: Any
) -> None:
    """Retry the tasks of JOB that did not succeed.

    With WORKER, retries only this worker and the tasks that were skipped because of this worker;
    JOB may still be running. Options change the settings of JOB, and cannot be combined with
    WORKER. Starts a server if none runs.
    """
    from orchestrator.cli.server.background_server import client_for

    config = {name: value for name, value in options.items() if value is not None}
    if worker_id and config:
        raise click.UsageError(
            "options cannot be combined with WORKER; omit the options, or omit WORKER"
        )
    with client_for(context, job_id) as client:
        if worker_id:
            worker_id = worker_of(context, job_id, worker_id)
            print_status(context, client.retry_worker(job_id, worker_id))
        else:
            print_status(context, client.retry(job_id, **config))
    if not context.as_json:
        click.echo(f"wait for the job: {COMMAND} wait {job_id}", err=True)


def print_status(context: CliContext, answer: dict[str, Any]) -> None:
    """Print the status in ``answer``. With ``--json``, print the whole answer as JSON."""
    click.echo(json.dumps(answer) if context.as_json else answer["status"])
