"""``orchestrator plan``: the tasks that a request would be split into."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.asking import PLAN_FILE, Asked, RequestCommand, asked
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.surroundings import Surroundings, json_option, pass_surroundings
from orchestrator.cli.terminal import one_line, table


@click.command("plan", cls=RequestCommand)
@click.argument("request", required=False)
@click.option("--plan", "plan_path", type=PLAN_FILE, help="Show the tasks of this YAML file.")
@click.option("--agent", metavar="NAME", help="Agent for tasks that name none.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print a plan file, for --plan.")
@json_option
@pass_surroundings
def plan_command(
    surroundings: Surroundings,
    request: str | None,
    plan_path: Path | None,
    agent: str | None,
    as_yaml: bool,
) -> int:
    """Show the tasks of REQUEST; runs nothing and needs no server."""
    return show_plan(surroundings, asked(request, plan_path, agent=agent), as_yaml)


def show_plan(surroundings: Surroundings, job: Asked, as_yaml: bool) -> int:
    """Print the tasks in the form that was asked for."""
    tasks = planned(surroundings, job)
    plan = {"request": job.request, "config": dict(job.config), "tasks": tasks}
    shown = {name: value for name, value in plan.items() if value}
    if surroundings.as_json:
        click.echo(json.dumps(shown, indent=2))
    elif as_yaml:
        import yaml

        click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(table([("ID", "AGENT", "NEEDS", "WHAT"), *map(_row, tasks)]))
    return ExitCode.OK


def planned(surroundings: Surroundings, job: Asked) -> Sequence[Mapping[str, Any]]:
    """The tasks as written, or as the planner would split the request."""
    if job.tasks:
        return job.tasks
    from orchestrator.app import plan

    specs = plan(surroundings.folder, job.request, job.config.get("agent") or "auto")
    return [_as_written(asdict(spec)) for spec in specs]


def _as_written(spec: dict[str, Any]) -> dict[str, Any]:
    """A task in the fields of a plan file, without those that say nothing."""
    agents = list(spec.pop("agents"))
    spec["agent"] = agents[0] if len(agents) == 1 else agents
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in spec.items()}
    return {k: v for k, v in plain.items() if v not in (None, "", [], {})}


def _row(task: Mapping[str, Any]) -> tuple[str, str, str, str]:
    agent = task.get("agent") or "auto"
    command = task.get("command")
    if isinstance(command, list):
        command = " ".join(map(str, command))
    what = task.get("title") or task.get("prompt") or task.get("description") or command
    needs = task.get("depends_on") or []
    return (
        str(task.get("id") or "-"),
        ", ".join(agent) if isinstance(agent, list) else str(agent),
        ", ".join(map(str, needs if isinstance(needs, list) else [needs])) or "-",
        one_line(what, 100),
    )
