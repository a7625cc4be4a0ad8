"""``orchestrator locks`` and ``unlock``: lists locks, and releases them.

For a worker, ``bin/orchestrator`` runs ``unlock`` with ``lock.py`` instead.
"""

import json
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.output.terminal_text import first_line, local_time, table


@click.command("locks")
@json_option
@pass_cli_context
def locks_command(context: CliContext) -> None:
    """List active locks, and workers that wait for locks.

    Needs a running server.
    """
    with context.client() as client:
        answer = client.locks()
    if context.as_json:
        click.echo(json.dumps(answer, indent=2))
    elif answer["locks"]:
        heads = ("NAME", "WORKER", "JOB", "KIND", "NUMBER", "SINCE")
        click.echo(table([heads, *map(_row, answer["locks"])]))
    else:
        click.echo("no locks", err=True)


def _row(lock: dict[str, Any]) -> tuple[str, ...]:
    kind = f"waiting ({lock['kind']})" if lock["waits"] else str(lock["kind"])
    return (
        first_line(", ".join(lock["names"]), 60),
        str(lock["worker_id"]),
        str(lock["job_id"]),
        kind,
        str(lock.get("number") or "-"),
        local_time(lock["since"]),
    )


@click.command("unlock")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
@pass_cli_context
def unlock_command(context: CliContext, names: tuple[str, ...]) -> None:
    """Release locks.

    A worker releases its own locks. Outside of a worker, the command releases locks of any worker.
    Needs a running server.
    """
    with context.client() as client:
        answer = client.unlock(names)
    if context.as_json:
        click.echo(json.dumps(answer))
