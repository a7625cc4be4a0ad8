"""``orchestrator config``: shows and checks the settings, and prints their schema for editors."""

import json
from functools import partial

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.output.terminal_text import table
from orchestrator.core.errors import ConfigError

#: Maximum width of a column. Longer values are not cut.
MOST_COLUMNS = 40


@click.group("config")
def config_command() -> None:
    """Show and check the settings."""


@config_command.command("show")
@click.option(
    "--origin", is_flag=True, help="Show the origin of each value: file, environment, or default."
)
@json_option
@pass_cli_context
def show_command(context: CliContext, origin: bool) -> None:
    """Print the current value of each setting, without secrets."""
    from orchestrator.config import load, visible

    loaded = load(context.folder, environ=context.environ)
    values = visible(loaded.settings)
    origins = loaded.origins
    if context.as_json:
        document = {
            k: {"value": v, "origin": origins.get(k)} if origin else v for k, v in values.items()
        }
        click.echo(json.dumps(document, indent=2))
        return
    rows = [
        (name, _shown_value(value), origins.get(name, "default")) for name, value in values.items()
    ]
    click.echo(table((row if origin else row[:2] for row in rows), MOST_COLUMNS))


def _shown_value(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


@config_command.command("check")
@json_option
@pass_cli_context
def check_command(context: CliContext) -> None:
    """Check config.yaml and the environment variables.

    Reports every problem with its line. Exit code 2: a setting is invalid.
    """
    from orchestrator.composition import check_agents, check_receivers, triggers
    from orchestrator.config import FILE_NAME, load

    loaded = load(context.folder, environ=context.environ, require_key=True)
    problems = []
    folder = context.folder
    for check in (partial(triggers, folder), partial(check_agents, folder), check_receivers):
        try:
            check(loaded.settings)
        except ConfigError as error:
            problems.append(error.message)
    if problems:
        raise ConfigError("\n".join(problems))
    if context.as_json:
        click.echo(json.dumps({"ok": True}))
    else:
        click.echo(f"{context.folder / FILE_NAME}: ok")


@config_command.command("schema")
def schema_command() -> None:
    """Print the JSON schema of config.yaml, for editors."""
    from orchestrator.config import render_schema

    click.echo(render_schema(), nl=False)


@config_command.command("template")
def template_command() -> None:
    """Print config.template.yaml: all settings with their defaults."""
    from orchestrator.config import render_template

    click.echo(render_template(), nl=False)
