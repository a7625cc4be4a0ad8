"""``orchestrator plan``: the tasks that a request would be split into."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.asking import PLAN_FILE, Asked, RequestCommand, asked, request_argument
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.planning import Draft, agents_of, estimate_line, planned, rough_estimate
from orchestrator.cli.surroundings import Surroundings, json_option, pass_surroundings
from orchestrator.cli.terminal import one_line, table


@click.command("plan", cls=RequestCommand)
@request_argument
@click.option(
    "--plan", "plan_path", type=PLAN_FILE, help="Show the tasks of this YAML file; - for stdin."
)
@click.option("--agent", metavar="NAME", help="Agent for tasks that name none.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print a plan file, for --plan.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of what a planner answers.")
@json_option
@pass_surroundings
def plan_command(
    surroundings: Surroundings,
    request: str | None,
    plan_path: Path | None,
    agent: str | None,
    as_yaml: bool,
    schema: bool,
) -> int:
    """Show the tasks of REQUEST as the rules split it.

    Runs nothing and needs no server. REQUEST is read from standard input where it is "-".

    An agent's plan is shown by: orchestrator run --plan-only.
    """
    if schema:
        from orchestrator.schemas.planned import plan_schema

        click.echo(plan_schema(), nl=False)
        return ExitCode.OK
    return show_plan(surroundings, asked(request, plan_path, agent=agent), as_yaml)


#: Have no worktree, and so only the gates that they are given.
UNCHECKED = frozenset({"shell", "survey"})


def show_plan(
    surroundings: Surroundings, job: Asked, as_yaml: bool, made: Draft | None = None
) -> int:
    """Print the tasks, as given, as an agent made them, or as the rules would."""
    tasks = made.tasks if made else planned(surroundings, job)
    guess = made.estimate if made else rough_estimate(surroundings, job, tasks)
    plan = {"request": job.request, "config": dict(job.config), "tasks": tasks}
    shown = {name: value for name, value in plan.items() if value}
    if surroundings.as_json:
        click.echo(json.dumps({**shown, "estimate": guess}, indent=2))
    elif as_yaml:
        import yaml

        click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)
    else:
        default = job.config.get("agent") or "auto"
        rows = [_row(task, default) for task in tasks]
        click.echo(table([("ID", "AGENT", "NEEDS", "WHAT"), *rows]))
        if guess:
            click.echo(estimate_line(guess))
        for line in _gate_lines(surroundings, job, tasks):
            click.echo(line, err=True)
    return ExitCode.OK


def _gate_lines(
    surroundings: Surroundings, job: Asked, tasks: Sequence[Mapping[str, Any]]
) -> Sequence[str]:
    """What results would be checked with."""
    from orchestrator.cli.gates import found_gates, gate_lines

    asked = job.config.get("gates", "auto")
    default = job.config.get("agent") or "auto"
    if asked == "auto" and all(UNCHECKED.issuperset(agents_of(task, default)) for task in tasks):
        return []
    if asked == "auto":
        found = found_gates(surroundings)
        return ["results are checked with:", *gate_lines(found)] if found else []
    if asked == "off":
        return ["results are not checked (gates: off)"]
    names = [each if isinstance(each, str) else str(each.get("name")) for each in asked]
    return [f"results are checked with: {', '.join(names)}"]


def _row(task: Mapping[str, Any], default: str) -> tuple[str, str, str, str]:
    command = task.get("command")
    if isinstance(command, list):
        command = " ".join(map(str, command))
    what = task.get("title") or task.get("prompt") or task.get("description") or command
    needs = task.get("depends_on") or []
    return (
        str(task.get("id") or "-"),
        ", ".join(agents_of(task, default)),
        ", ".join(map(str, needs if isinstance(needs, list) else [needs])) or "-",
        one_line(what, 100),
    )
