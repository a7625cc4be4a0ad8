"""``orchestrator webhooks``: lists and tests receivers of messages, and shows deliveries."""

import json
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import bare_job_id, json_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal_text import local_time, terminal_width, wrapped
from orchestrator.core.text.formatting import plural

#: Maximum number of deliveries that one call lists.
PAGE_SIZE = 50
LEAST_WIDTH = 40
INDENT = "  "
NONE = (
    "no webhook is configured; add one to webhooks.endpoints in config.yaml; see docs/webhooks.md"
)


@click.group("webhooks")
def webhooks_command() -> None:
    """List and test webhooks, and send messages again."""


@webhooks_command.command("list")
@json_option
@pass_cli_context
def list_command(context: CliContext) -> None:
    """List the receivers of messages, with counts of deliveries."""
    with context.client() as client:
        answer = client.webhooks()
    if context.as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not answer["endpoints"]:
        click.echo(NONE, err=True)
    for endpoint in answer["endpoints"]:
        counts = ", ".join(f"{number} {state}" for state, number in endpoint["counts"].items())
        events = " ".join(endpoint["events"])
        click.echo(f"{endpoint['name']:<12} {endpoint['kind']:<12} {endpoint['address']}  {events}")
        click.echo(f"  {counts or 'no deliveries'}")
        if endpoint["off"]:
            click.echo(f"  off: {endpoint['off']}")


@webhooks_command.command("test")
@click.argument("name")
@json_option
@pass_cli_context
def test_command(context: CliContext, name: str) -> int:
    """Send a test message to the webhook NAME, and show the answer."""
    with context.client() as client:
        answer = client.test_webhook(name)
    return show_tests(context, [answer], answer)


@webhooks_command.command("deliveries")
@click.option(
    "--job", "job_id", callback=bare_job_id, metavar="JOB", help="Show messages about JOB only."
)
@click.option(
    "--state",
    type=click.Choice(["pending", "delivered", "failed", "skipped"]),
    help="Show messages in this state only.",
)
@json_option
@pass_cli_context
def deliveries_command(context: CliContext, job_id: str | None, state: str | None) -> None:
    """List messages to receivers, the latest first."""
    with context.client() as client:
        answer = client.deliveries(job=job_id, state=state, page_size=PAGE_SIZE)
    if context.as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not answer["deliveries"]:
        click.echo("no deliveries", err=True)
    for delivery in answer["deliveries"]:
        _show(delivery)
    if answer["total"] > len(answer["deliveries"]):
        hidden_count = answer["total"] - len(answer["deliveries"])
        click.echo(
            f"{hidden_count} older deliveries are not shown; filter with --job or --state", err=True
        )


@webhooks_command.command("redeliver")
@click.argument("delivery_id", metavar="ID")
@json_option
@pass_cli_context
def redeliver_command(context: CliContext, delivery_id: str) -> None:
    """Send the message with the id ID again.

    The ID stays the same, so that receivers can recognize the repetition.
    """
    with context.client() as client:
        answer = client.redeliver(delivery_id)
    if context.as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    click.echo(
        f"message {delivery_id} is being sent; check the delivery: {COMMAND} webhooks deliveries",
        err=True,
    )


def show_tests(context: CliContext, tests: list[dict[str, Any]], answer: Any) -> int:
    if context.as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        for test in tests:
            outcome = "delivered" if test["delivered"] else f"failed: {test['error']}"
            click.echo(f"{test['name']}: {outcome} ({test['seconds']:.1f} s)")
    return ExitCode.OK if all(test["delivered"] for test in tests) else ExitCode.FAILED


def _show(delivery: dict[str, Any]) -> None:
    when = local_time(delivery["created_at"])
    head = f"{delivery['state']:<9} {when}  {delivery['event']:<11} {delivery['endpoint']}  "
    click.echo(f"{head}{delivery['id']}")
    attempts = delivery["attempts"]
    if delivery["error"]:
        due = f"; next attempt {local_time(delivery['due_at'])}" if "due_at" in delivery else ""
        text = f"{plural(attempts, 'attempt')}: {delivery['error']}{due}"
        for line in wrapped(text, max(LEAST_WIDTH, terminal_width()), INDENT):
            click.echo(line)
