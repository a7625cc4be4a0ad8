"""``orchestrator notify``: sends test notifications."""

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.setup.integrations.webhooks import show_tests

NONE = (
    "no target is configured; add one to notify.targets in config.yaml; see docs/notifications.md"
)


@click.group("notify")
def notify_command() -> None:
    """Send test notifications."""


@notify_command.command("test")
@click.argument("name", required=False, default="")
@json_option
@pass_cli_context
def test_command(context: CliContext, name: str) -> int:
    """Send a test notification to the target NAME, or to all targets."""
    with context.client() as client:
        answer = client.test_notifications(name)
    if not answer["tests"] and not context.as_json:
        click.echo(NONE, err=True)
    return show_tests(context, answer["tests"], answer)
