"""``orchestrator triggers``: lists the triggers of config.yaml, and tests them with an event."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal_text import printable, table
from orchestrator.core.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from orchestrator.engine.service.triggers.trigger import Trigger


@click.group("triggers")
def triggers_command() -> None:
    """Show the triggers of config.yaml, and try them with an event."""


@triggers_command.command("list")
@json_option
@pass_cli_context
def list_command(context: CliContext) -> None:
    """List the triggers, with URL paths and conditions, without secrets."""
    rows = [_trigger_row(each) for each in _triggers(context).values()]
    if context.as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo("no triggers in config.yaml; to add one, see docs/triggers.md", err=True)
    else:
        head = ("NAME", "VERIFY", "ACTION", "PATH", "WHEN")
        click.echo(table([head, *(tuple(each.values()) for each in rows)]))


@triggers_command.command("test")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--event", "kind", metavar="KIND", default="", help="Kind of the event, such as issues."
)
@json_option
@pass_cli_context
def test_command(context: CliContext, name: str, file: Path, kind: str) -> int:
    """Show the request that a trigger creates from an event.

    NAME is the trigger, and FILE contains the event as JSON. Starts nothing, and checks no
    signature. Exit code 1: a condition is false.
    """
    from orchestrator.engine.service.triggers.trigger import KIND, TriggerEvent

    configured_triggers = _triggers(context)
    if name not in configured_triggers:
        names = ", ".join(configured_triggers) or "none"
        raise NotFound(
            f"unknown trigger {name!r}; known: {names}; list triggers: {COMMAND} triggers list"
        )
    try:
        document = json.loads(file.read_bytes())
    except ValueError as error:
        raise InvalidRequest(f"{file} is not JSON: {error}") from None
    event = TriggerEvent(headers={"x-github-event": kind} if kind else {}, document=document)
    trigger = configured_triggers[name]
    unmet = trigger.unmet(event)
    if unmet:
        hint = "" if kind else "; name the kind of the event with --event"
        click.echo(
            f"ignored: the condition when.{unmet} is false{hint if unmet == KIND else ''}", err=True
        )
        return ExitCode.FAILED
    if trigger.template is None:
        click.echo(f"accepted: trigger {name} sends the event as feedback to a worker")
        return ExitCode.OK
    submission = trigger.submission(event)
    if context.as_json:
        tasks = [{"id": each.id, "prompt": each.prompt} for each in submission.tasks]
        labels = dict(submission.config.values.labels)
        preview = {"request": submission.request, "labels": labels, "tasks": tasks}
        click.echo(json.dumps(preview, indent=2))
    else:
        click.echo(printable(submission.request))
    return ExitCode.OK


def _triggers(context: CliContext) -> Mapping[str, "Trigger"]:
    from orchestrator.composition import triggers
    from orchestrator.config import load

    loaded = load(context.folder, environ=context.environ)
    return {each.name: each for each in triggers(context.folder, loaded.settings)}


def _trigger_row(trigger: "Trigger") -> dict[str, Any]:
    return {
        "name": trigger.name,
        "verify": str(trigger.verify),
        "action": "job" if trigger.template else "feedback",
        "path": f"/api/v1/triggers/{trigger.name}",
        "when": ", ".join(
            f"{each.name}: {'|'.join(map(str, each.allowed))}" for each in trigger.when
        ),
    }
