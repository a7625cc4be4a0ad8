"""``orchestrator budget``: raises limits of a job."""

import json
from typing import Any

import click

from orchestrator.cli.command_context import (
    CliContext,
    Seconds,
    job_argument,
    json_option,
    pass_surroundings,
)
from orchestrator.cli.plan.job_options import cap_options


@click.command("budget")
@job_argument
@cap_options
@click.option(
    "--max-wall",
    "max_wall_seconds",
    type=Seconds(min=0),
    metavar="S",
    help="Maximum wall time of the job, in seconds.",
)
@json_option
@pass_surroundings
def budget_command(surroundings: CliContext, /, job_id: str, **limits: Any) -> None:
    """Raise limits of JOB; a job paused at a limit continues.

    A job that was started with `--on-limit ask` pauses when it reaches a limit. It continues when
    you raise the limit, and is stopped if you do not raise it within `ask_seconds`.
    """
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        raise click.UsageError("name a limit, such as --max-cost 5")
    with surroundings.client() as client:
        answer = client.raise_budget(job_id, **given)
    if surroundings.as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo("paused" if answer.get("paused") else answer["status"])
