"""``orchestrator keys``: creates API keys for more people and programs."""

import json
import re
from collections.abc import Mapping

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option

SCOPES = ("read", "submit", "admin")


def _checked_name(ctx: click.Context, parameter: click.Parameter, name: str) -> str:
    from orchestrator.config.fields.value_types import KEY_NAME_PATTERN

    if not re.match(KEY_NAME_PATTERN, name):
        raise click.BadParameter(
            "must start with a letter, and contain only letters, digits, '.', '@', '-', and '_'"
        )
    return name


@click.group("keys")
def keys_command() -> None:
    """Create API keys with names and scopes."""


@keys_command.command("new")
@click.argument("name", callback=_checked_name)
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("read",),
    show_default=True,
    help="Scope: read (all jobs), submit (own jobs), or admin (all); repeatable.",
)
@json_option
@pass_cli_context
def new_command(context: CliContext, name: str, scopes: tuple[str, ...]) -> None:
    """Create an API key for NAME, and print its entry for config.yaml.

    The key is not stored, and is shown only once. The entry contains the hash of the key.
    """
    from orchestrator.security.secrets.api_keys import hash_key, new_key

    key = new_key()
    entry = {"name": name, "key_hash": hash_key(key), "scopes": list(dict.fromkeys(scopes))}
    if context.as_json:
        click.echo(json.dumps({"key": key, **entry}))
        return
    click.echo(f"The key of {name}, shown only once; send it in the header X-API-Key:", err=True)
    click.echo(key)
    click.echo(
        "Add these lines to config.yaml, below the line `api:`, and restart the server. If the "
        "line `keys:` is already there, omit the first of these lines:",
        err=True,
    )
    click.echo(_entry_text(entry), nl=False)


def _entry_text(entry: Mapping[str, object]) -> str:
    """Return the entry of a key as lines of config.yaml, which belong below the line ``api:``."""
    import yaml

    document = {"api": {"keys": [dict(entry)]}}
    text = str(yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=200))
    return text.removeprefix("api:\n")
