"""``orchestrator plan``: shows the tasks that a job would have."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.job_summary import cap_line
from orchestrator.cli.output.terminal_text import first_line, table
from orchestrator.cli.plan.job_options import (
    PLAN_FILE,
    JobOptions,
    RequestCommand,
    cap_options,
    job_of_options,
    request_argument,
    review_option,
)
from orchestrator.cli.plan.plan_review import Draft, agents_of, estimate_line, local_plan
from orchestrator.core.model.job_settings import CAPS


@click.command("plan", cls=RequestCommand)
@request_argument
@click.option(
    "--plan",
    "plan_path",
    type=PLAN_FILE,
    help="Plan file to check and show (YAML); - for standard input.",
)
@click.option("--agent", metavar="NAME", help="Agent of tasks that name no agent.")
@review_option
@cap_options
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the plan as YAML, for --plan.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of a planner's answer.")
@click.option("--kinds", is_flag=True, help="List the kinds of work that the rules recognize.")
@json_option
@pass_cli_context
def plan_command(
    context: CliContext,
    /,
    request: str | None,
    plan_path: Path | None,
    agent: str | None,
    review: str | None,
    as_yaml: bool,
    schema: bool,
    kinds: bool,
    **caps: Any,
) -> int:
    """Split REQUEST into tasks by rules, and show the tasks.

    Runs nothing, and needs no server. With - as REQUEST, reads standard input. Checks the tasks of
    a plan file as `run` does, except their gates.

    \b
    To show the plan of an agent:
    bin/orchestrator run --plan-only REQUEST --planner AGENT
    """
    if schema:
        from orchestrator.schemas.agent_output.plan import plan_schema

        click.echo(plan_schema(), nl=False)
        return ExitCode.OK
    if kinds:
        return _show_kinds(context)
    return show_plan(
        context, job_of_options(request, plan_path, agent=agent, review=review, **caps), as_yaml
    )


#: Agents that work without a worktree. A task of such an agent has only the gates that it names.
UNCHECKED = frozenset({"shell", "survey"})


def show_plan(
    context: CliContext, job: JobOptions, as_yaml: bool, draft: Draft | None = None
) -> int:
    """Print a plan, and return the exit code.

    The plan is ``draft``. If ``draft`` is None, ``local_plan`` creates the plan.
    """
    draft = draft or local_plan(context, job)
    tasks, estimate = draft.tasks, draft.estimate
    plan = {"request": job.request, "config": dict(job.config), "tasks": tasks}
    document = {name: value for name, value in plan.items() if value}
    if context.as_json:
        click.echo(
            json.dumps({**document, "planner": draft.made_by, "estimate": estimate}, indent=2)
        )
    elif as_yaml:
        import yaml

        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
    else:
        default = job.config.get("agent") or "auto"
        rows = [_row(task, default) for task in tasks]
        if fallback := draft.made_by.get("fallback"):
            click.echo(f"planned by rules, not by {fallback['agent']}: {fallback['reason']}")
        click.echo(table([("ID", "AGENT", "DEPENDS ON", "TASK"), *rows]))
        if line := _planner_line(draft.made_by):
            click.echo(line)
        if estimate:
            click.echo(estimate_line(estimate))
        config = job.config
        caps = {name: config[name] for name in CAPS if config.get(name) is not None}
        if line := cap_line(caps):
            click.echo(line)
        for line in _gate_lines(context, job, tasks):
            click.echo(line, err=True)
    if draft.hindrance:
        click.echo(f"not yet ready to run: {draft.hindrance}", err=True)
    return ExitCode.OK


def _planner_line(made_by: Mapping[str, Any]) -> str:
    """Return the rule that created the plan, such as ``planned by rules: sentences``.

    Return "" if the tasks come from a plan file or from an agent.
    """
    if made_by.get("rule") is None:
        return ""
    kind = made_by.get("kind")
    kind_text = f' "{kind}" (all kinds: {COMMAND} plan --kinds)' if kind else ""
    return f"planned by rules: {made_by['rule']}{kind_text}"


def _show_kinds(context: CliContext) -> int:
    from orchestrator.engine.planning.work_kinds import kinds

    all_kinds = kinds()
    if context.as_json:
        rows = [
            {
                "name": kind.name,
                "example": kind.example,
                "tasks": [
                    {"id": each.id, "title": each.title, "role": each.role, "needs": each.needs}
                    for each in kind.tasks
                ],
            }
            for kind in all_kinds
        ]
        click.echo(json.dumps(rows, indent=2))
        return ExitCode.OK
    for kind in all_kinds:
        click.echo(f"{kind.name}\n  request: {kind.example}")
        click.echo(f"  tasks:   {', '.join(each.title for each in kind.tasks)}")
    return ExitCode.OK


def _gate_lines(
    context: CliContext, job: JobOptions, tasks: Sequence[Mapping[str, Any]]
) -> Sequence[str]:
    from orchestrator.cli.plan.gates_command import gate_lines, gates_of_project

    setting = job.config.get("gates", "auto")
    default = job.config.get("agent") or "auto"
    if setting == "auto" and all(UNCHECKED.issuperset(agents_of(task, default)) for task in tasks):
        return []
    if setting == "auto":
        gates = gates_of_project(context)
        return ["gates for the results:", *gate_lines(gates)] if gates else []
    if setting == "off":
        return ["no gates for the results (gates: off)"]
    names = [each if isinstance(each, str) else str(each.get("name")) for each in setting]
    return [f"gates for the results: {', '.join(names)}"]


def _row(task: Mapping[str, Any], default: str) -> tuple[str, str, str, str]:
    command = task.get("command")
    if isinstance(command, list):
        command = " ".join(map(str, command))
    work = task.get("title") or task.get("prompt") or task.get("description")
    work = work or command or task.get("approve")
    needs = task.get("depends_on") or []
    review = task.get("review")
    return (
        str(task.get("id") or "-"),
        ", ".join(agents_of(task, default)) + (f"; review: {review}" if review else ""),
        ", ".join(map(str, needs if isinstance(needs, list) else [needs])) or "-",
        first_line(work, 100),
    )
