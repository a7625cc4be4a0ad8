"""``orchestrator usage``: tokens and cost by agent, model, day, job, or label."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import age, json_option
from orchestrator.cli.follow.top.frame import count as tokens
from orchestrator.cli.output.terminal_text import table
from orchestrator.core.text.formatting import dollars

Row = Mapping[str, Any]

COUNTS = ("jobs", "workers", "succeeded", "tokens_in", "tokens_out", "cache_read")
HEAD = ("JOBS", "WORKERS", "SUCCEEDED", "INPUT TOKENS", "OUTPUT TOKENS", "CACHED", "COST")
NONE = "no worker ended in this period; use a longer period: --since 90d"
ESTIMATED = "~ includes costs that were computed from a price table"
PARTIAL = "+ some workers reported no cost; their cost is not included"


@click.command("usage")
@click.option(
    "--by",
    default="agent",
    show_default=True,
    metavar="KEY",
    help="Grouping of the rows: agent, model, day, job, or label:NAME.",
)
@click.option(
    "--since",
    callback=age,
    default="14d",
    show_default=True,
    metavar="AGE",
    help="Length of the period, such as 24h or 90d. Counts workers that ended in this period, and "
    "running workers that started in it.",
)
@json_option
@pass_cli_context
def usage_command(context: CliContext, by: str, since: int) -> None:
    """Show tokens and cost, by agent, model, day, job, or label.

    A worker counts for the model that its agent reported. Without a report, the worker counts for
    the model of its task, or of the agent's settings.
    """
    begin = datetime.fromtimestamp(max(0.0, time.time() - since), UTC)
    with context.client() as client:
        answer = client.usage(by=by, since=begin.isoformat(timespec="seconds"))
    if context.as_json:
        click.echo(json.dumps(answer, indent=2))
    elif not answer["rows"]:
        click.echo(NONE, err=True)
    else:
        click.echo("\n".join(usage_lines(by, answer["rows"])))


def usage_lines(by: str, rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table with the rows and a total, then explanations of the marks ``~`` and ``+``."""
    name = by.partition(":")[2] or by
    # A job with workers of two agents counts in both rows, so there is no sum of jobs.
    total = {each: sum(row[each] for row in rows) for each in COUNTS} | {"jobs": None}
    costs = [row["cost_usd"] for row in rows if row.get("cost_usd") is not None]
    total["cost_usd"] = sum(costs) if costs else None
    for mark in ("estimated", "partial"):
        total[mark] = any(row[mark] for row in rows)
    ordered = rows if by == "day" else sorted(rows, key=_costs_most)
    lines = [_cells(row["key"] or "-", row) for row in ordered]
    yield table([(name.upper(), *HEAD), *lines, _cells("total", total)])
    if total["estimated"]:
        yield ESTIMATED
    if total["partial"]:
        yield PARTIAL


def _costs_most(row: Row) -> tuple[float, int]:
    return -(row.get("cost_usd") or 0.0), -row["workers"]


def _cells(key: str, row: Row) -> tuple[str, ...]:
    counts = ["-" if row[each] is None else str(row[each]) for each in COUNTS[:3]]
    return key, *counts, *(tokens(row[each]) for each in COUNTS[3:]), _cost(row)


def _cost(row: Row) -> str:
    cost = row.get("cost_usd")
    if cost is None:
        return "unknown" if row["partial"] else "-"
    return f"{'~' if row['estimated'] else ''}{dollars(cost)}{'+' if row['partial'] else ''}"
