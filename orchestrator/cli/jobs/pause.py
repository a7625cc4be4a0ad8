"""``orchestrator pause`` and ``resume``."""

import json
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, json_option, pass_surroundings
from orchestrator.core.text.command_name import COMMAND

_all_option = click.option(
    "--all", "everything", is_flag=True, help="All jobs, and jobs that are submitted later."
)
_job_or_all = click.argument("job_id", metavar="[JOB]", required=False)


@click.command("pause")
@_job_or_all
@_all_option
@click.option("--stop", is_flag=True, help="Stop running attempts; they run again later.")
@json_option
@pass_surroundings
def pause_command(
    surroundings: CliContext, job_id: str | None, everything: bool, stop: bool
) -> None:
    """Pause JOB and its child jobs, or all jobs.

    Nothing new starts until `resume`. Running attempts continue to their end. With --stop, running
    attempts are stopped, and run again after the pause, without using a retry. A pause does not
    count as wall time.
    """
    _check_one(job_id, everything)
    running = "stop" if stop else "finish"
    with surroundings.client() as client:
        _print(surroundings, client.pause(job_id, running=running))


@click.command("resume")
@_job_or_all
@_all_option
@json_option
@pass_surroundings
def resume_command(surroundings: CliContext, job_id: str | None, everything: bool) -> None:
    """Resume JOB and its child jobs, or all jobs."""
    _check_one(job_id, everything)
    with surroundings.client() as client:
        _print(surroundings, client.resume(job_id))


def _check_one(job_id: str | None, everything: bool) -> None:
    if bool(job_id) == everything:
        raise click.UsageError(f"name a job, or --all; list jobs: {COMMAND} jobs")


def _print(surroundings: CliContext, answer: dict[str, Any]) -> None:
    if surroundings.as_json:
        click.echo(json.dumps(answer))
        return
    paused = answer.get("paused")
    status = answer.get("status", "running")
    who = "" if paused and paused.get("cause") == "limit" else "key "
    click.echo(f"paused by {who}{paused['by']}" if paused else status)
