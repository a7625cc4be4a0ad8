"""``orchestrator submit``: starts a job and returns at once."""

import json
from functools import partial
from typing import Any

import click

from orchestrator.api.client.server_record import read_record
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.output.terminal_text import pasteable
from orchestrator.cli.plan.job_options import (
    RequestCommand,
    check_plan,
    job_of_options,
    request_options,
)
from orchestrator.core.errors import OrchestratorError


@click.command("submit", cls=RequestCommand)
@request_options
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Unique key; a second call with the same key starts no second job.",
)
@json_option
@pass_cli_context
def submit_command(context: CliContext, /, idempotency_key: str | None, **options: Any) -> None:
    """Submit REQUEST and print the job's id.

    Needs a running server. With - as REQUEST, reads standard input.
    """
    from orchestrator.cli.plan.plan_review import notes_on, start

    job = job_of_options(**options, is_checked_later=True)
    try:
        with context.client() as client:
            answer = start(context, client, job, idempotency_key)
    except OrchestratorError:
        check_plan(job.unchecked_plan)
        raise
    if not context.environ.get("ORCHESTRATOR_API_URL"):
        from orchestrator.cli.server.background_server import note_previous_code

        if record := read_record(context.workspace):
            note_previous_code(record, partial(click.echo, err=True))
    for note in notes_on(answer):
        click.echo(pasteable(note), err=True)
    click.echo(json.dumps(answer) if context.as_json else answer["job_id"])
