"""``orchestrator inbox``: lists what jobs need from a person."""

import json
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import first_line, local_time, pasteable, terminal_width
from orchestrator.core.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.api.client import OrchestratorClient

PAGE_SIZE = 200
#: Width of a need's text on a narrow terminal.
LEAST_WIDTH = 40


@click.command("inbox")
@json_option
@pass_cli_context
def inbox_command(context: CliContext) -> None:
    """List jobs that wait for you, each with the next command."""
    with context.client() as client:
        answer = client.needs(1, PAGE_SIZE)
    if context.as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not answer["needs"]:
        click.echo("no job waits for you", err=True)
        return
    for line in need_lines(answer["needs"]):
        click.echo(line)
    if answer["total"] > len(answer["needs"]):
        hidden_count = answer["total"] - len(answer["needs"])
        click.echo(
            f"{hidden_count} further entries are not shown; show all: {COMMAND} open; or GET "
            f"/api/v1/needs?page=2&page_size={PAGE_SIZE}",
            err=True,
        )


def need_lines(needs: list[dict[str, Any]]) -> Iterator[str]:
    width = max(LEAST_WIDTH, terminal_width())
    for need in needs:
        head = f"{need['kind']:<9} {need['job_id']}  {local_time(need['since'])}  "
        yield head + first_line(need["text"], max(LEAST_WIDTH, width - len(head)))
        if need["command"]:
            yield f"  {pasteable(need['command'])}"


def open_needs(context: CliContext, job_id: str) -> list[str]:
    """Return the lines about the needs of a job and its child jobs, such as a question.

    Return [] if no server answers, or if the caller may not list needs.
    """
    try:
        client = context.client_if_running()
        if client is None:
            return []
        with client:
            needs = list(_all_needs(client))
    except OrchestratorError:
        return []
    job_needs = [need for need in needs if job_id in (need["job_id"], need["root_job_id"])]
    return list(need_lines(job_needs))


def _all_needs(client: "OrchestratorClient") -> Iterator[dict[str, Any]]:
    for page in count(1):
        answer = client.needs(page, PAGE_SIZE)
        yield from answer["needs"]
        if page * PAGE_SIZE >= answer["total"]:
            return
