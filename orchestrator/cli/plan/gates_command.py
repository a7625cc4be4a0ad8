"""``orchestrator gates``: lists the gates that check results, and the reason for each gate."""

import json
from collections.abc import Mapping, Sequence

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option, project_option
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal_text import first_line, table


@click.command("gates")
@json_option
@project_option
@pass_cli_context
def gates_command(context: CliContext) -> int:
    """List the gates for this project, and why each one runs.

    Runs no gate. If the current commit has the file .orchestrator/gates.yaml, this file defines the
    gates. Otherwise, the files of the commit decide which gates run.
    """
    gates = gates_of_project(context)
    if context.as_json:
        click.echo(json.dumps({"gates": gates}, indent=2))
    elif gates:
        click.echo("\n".join(gate_lines(gates)))
    else:
        click.echo(_why_none(context))
    return ExitCode.OK


def gates_of_project(context: CliContext) -> Sequence[Mapping[str, object]]:
    from orchestrator.composition import gates_here

    return gates_here(context.folder, context.environ)


def _why_none(context: CliContext) -> str:
    from orchestrator.composition import why_no_gates

    return f"no gates: {why_no_gates(context.folder, context.environ)}"


def gate_lines(gates: Sequence[Mapping[str, object]]) -> Sequence[str]:
    return table([("GATE", "RUNS", "WHEN", "REASON", "COMMAND"), *map(_row, gates)]).splitlines()


def _row(gate: Mapping[str, object]) -> tuple[str, str, str, str, str]:
    when = gate["when"]
    runs = "yes" if gate["available"] else f"no: {gate['program']} is not installed"
    return (
        str(gate["name"]),
        runs,
        ", ".join(map(str, when))[:30] if isinstance(when, list) and when else "always",
        first_line(gate["why"], 40),
        first_line(gate["run"] or "(built in)", 100),
    )
