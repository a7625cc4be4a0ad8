"""``orchestrator help``: lists every command by section, or prints the help of one command."""

from collections.abc import Sequence
from typing import cast

import click

from orchestrator.cli.command_line.command_group import CommandGroup
from orchestrator.cli.command_line.command_table import EVERY_COMMAND
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode


@click.command("help")
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_command(ctx: click.Context, names: Sequence[str]) -> int:
    """List every command, or print the help of COMMAND."""
    root = ctx.find_root()
    if names:
        _check_names(ctx, root.command, names)
        # Run the command itself, because commands for workers, such as spawn, parse --help
        # themselves.
        code = root.command.main(
            [*names, "--help"], root.info_name, standalone_mode=False, color=root.color
        )
        return code if isinstance(code, int) else ExitCode.OK
    commands = cast(CommandGroup, root.command)
    formatter = root.make_formatter()
    commands.format_sections(root, formatter, EVERY_COMMAND)
    click.echo(formatter.getvalue())
    return ExitCode.OK


def _check_names(ctx: click.Context, command: click.Command, names: Sequence[str]) -> None:
    """Raise UsageError if ``names`` has a name after a command that is not a group."""
    for index, name in enumerate(names):
        if not isinstance(command, click.Group):
            path = " ".join(names[:index])
            raise click.UsageError(
                f"{path} has no command {name!r}; to show the help of {path}: {COMMAND} help {path}"
            )
        subcommand = command.get_command(ctx, name)
        if subcommand is None:
            return  # the command itself names similar commands
        command = subcommand
