"""``orchestrator agents``: lists the agents, and how to make unavailable agents available."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.output.terminal_text import GAP, first_line, pasteable, table, terminal_width

#: Timeout of an agent's program that prints its version, in seconds.
_VERSION_SECONDS = 15.0
HEADS = ("AGENT", "USABLE", "VERSION", "LOGIN", "CREDENTIAL", "INHERITS")
#: Minimum columns for the descriptions. With fewer columns, the table has no descriptions.
LEAST_DESCRIPTION = 12


@click.command("agents")
@json_option
@pass_cli_context
def agents_command(context: CliContext) -> None:
    """List agents, and how to fix unavailable agents."""
    agents = available_agents(context)
    with ThreadPoolExecutor(max_workers=4) as pool:
        pairs = zip(agents, pool.map(_version, agents), strict=True)
        agents = [{**agent, "version": version} if version else agent for agent, version in pairs]
    if context.as_json:
        click.echo(json.dumps({"agents": agents}, indent=2))
        return
    click.echo(_table(agents, _width(context)))
    for agent in agents:
        for line in filter(None, (agent.get("login_refused"), *agent.get("fix", ()))):
            click.echo(f"{agent['name']}: {pasteable(line)}", err=True)


def available_agents(context: CliContext) -> list[dict[str, Any]]:
    """Return all agents, with their availability in the environment of the running server.

    Workers have the same environment as their server. If no server runs, return the availability in
    this command's environment.
    """
    client = context.client_if_running()
    if client is not None:
        with client:
            return list(client.agents()["agents"])
    from orchestrator.api.serializers.agent_list import agents_answer
    from orchestrator.composition import availability
    from orchestrator.config import load

    folder, environ = context.folder, context.environ
    settings = load(folder, environ=environ).settings
    return list(agents_answer(availability(folder, settings, environ)).as_json()["agents"])


def _version(agent: Mapping[str, Any]) -> str | None:
    """Return the version that the agent's program prints.

    Return None if ``agent`` already contains the version, or if the version cannot be found.
    """
    if "version" in agent or "path" not in agent:
        return None
    try:
        process = subprocess.run(
            [str(agent["path"]), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return first_line(process.stdout.decode("utf-8", "replace"), 40) or None


def _usable_text(agent: Mapping[str, Any]) -> str:
    is_usable_here = agent["installed"] and agent["authenticated"]
    if is_usable_here or not agent["nodes"]:
        return "yes" if is_usable_here else "no"
    first, *more = agent["nodes"]
    return f"on {first}" + (f" and {len(more)} more" if more else "")


def _width(context: CliContext) -> int:
    """Return the width of the output. A file or pipe has no limit, unless COLUMNS is set."""
    has_width = sys.stdout.isatty() or context.environ.get("COLUMNS")
    return terminal_width() if has_width else sys.maxsize


def _table(agents: Sequence[Mapping[str, Any]], width: int) -> str:
    """Return the table of agents. Omit an empty column, and descriptions if there is no room."""
    rows = [HEADS, *map(_row, agents)]
    if not any(agent.get("inherit") for agent in agents):
        rows = [row[:-1] for row in rows]
    free_width = width - max(map(len, table(rows).splitlines())) - len(GAP)
    if free_width < LEAST_DESCRIPTION:
        return table(rows)
    texts = ["DESCRIPTION", *(first_line(agent["description"], free_width) for agent in agents)]
    return table([(*row, text) for row, text in zip(rows, texts, strict=True)])


def _row(agent: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(agent["name"]),
        _usable_text(agent),
        str(agent.get("version") or ("-" if agent["installed"] else "not installed")),
        str(agent["login"]),
        str(agent.get("credential") or ("-" if agent["authenticated"] else "none found")),
        ", ".join(agent.get("inherit") or ()) or "-",
    )
