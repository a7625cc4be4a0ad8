"""``orchestrator roles``: lists the roles for tasks."""

import json
from collections.abc import Mapping, Sequence

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal_text import first_line, table


@click.command("roles")
@click.argument("name", required=False)
@json_option
@pass_cli_context
def roles_command(context: CliContext, name: str | None) -> int:
    """List the roles for tasks, or print the text of the role NAME.

    A role is a Markdown file. To add or replace a role, write .orchestrator/roles/NAME.md in the
    project, or NAME.md in the directory of the setting workers.roles_dir.
    """
    from orchestrator.composition import role_text, roles

    if name is not None:
        text = role_text(context.folder, name)
        click.echo(json.dumps({"name": name, "text": text}) if context.as_json else text)
        return ExitCode.OK
    rows = [
        {
            "name": role.name,
            "description": role.description,
            "path": str(role.path),
            "built_in": role.built_in,
        }
        for role in roles(context.folder)
    ]
    click.echo(json.dumps(rows, indent=2) if context.as_json else _role_table(rows))
    return ExitCode.OK


def _role_table(rows: Sequence[Mapping[str, object]]) -> str:
    table_rows = [
        (
            str(row["name"]),
            "built-in" if row["built_in"] else "yours",
            first_line(row["description"], 100),
        )
        for row in rows
    ]
    return table([("ROLE", "ORIGIN", "DESCRIPTION"), *table_rows])
