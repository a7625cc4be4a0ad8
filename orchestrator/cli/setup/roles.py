"""``orchestrator roles``: the parts that a task's agent may play."""

import json
from collections.abc import Mapping, Sequence

import click

from orchestrator.cli.context import CliContext, json_option, pass_surroundings
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal import first_line, table


@click.command("roles")
@click.argument("name", required=False)
@json_option
@pass_surroundings
def roles_command(surroundings: CliContext, name: str | None) -> int:
    """List the roles of tasks, or show the text of the role NAME.

    A role is a Markdown file. Put one of your own into the directory of workers.roles_dir in
    config.yaml: it comes before a built-in one of the same name.
    """
    from orchestrator.app import role_text, roles

    if name is not None:
        text = role_text(surroundings.folder, name)
        click.echo(json.dumps({"name": name, "text": text}) if surroundings.as_json else text)
        return ExitCode.OK
    rows = [
        {
            "name": role.name,
            "description": role.description,
            "path": str(role.path),
            "built_in": role.built_in,
        }
        for role in roles(surroundings.folder)
    ]
    click.echo(json.dumps(rows, indent=2) if surroundings.as_json else _shown(rows))
    return ExitCode.OK


def _shown(rows: Sequence[Mapping[str, object]]) -> str:
    shown = [
        (
            str(row["name"]),
            "built-in" if row["built_in"] else "yours",
            first_line(row["description"], 100),
        )
        for row in rows
    ]
    return table([("ROLE", "FROM", "WHAT IT DOES"), *shown])
