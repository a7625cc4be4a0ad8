"""Runs a command line: the program's options, the groups of commands, and exit codes."""

import gc
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import click

from orchestrator import __version__
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.command_group import COMPLETE_VARIABLE, CommandGroup
from orchestrator.cli.command_line.command_table import COMMANDS, FIRST, GROUPS, SECTIONS
from orchestrator.cli.output import exit_codes
from orchestrator.cli.output.command_paths import COMMAND, INSTALL_COMMAND
from orchestrator.cli.output.error_messages import report_error, report_usage_error
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.standard_streams import (
    discard_output,
    reader_may_leave,
    tolerate_full_disk,
)
from orchestrator.cli.output.style import wants_color
from orchestrator.cli.output.terminal_text import ARGUMENTS
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.outcome.shortage_errors import is_full_disk

EPILOG = f"""\b
Try it, without an AI tool or a key: {COMMAND} demo
List every command: {COMMAND} help

\b
Exit codes:
{exit_codes.table()}

\b
Completion for bash: eval "$({COMMAND} completion bash)"; also zsh, fish
"""


class Commands(CommandGroup):
    """The group of all commands: single commands, and groups such as ``job``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, modules=COMMANDS, sections=FIRST, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)
        # Without ``reader_may_leave``, "--help | true" would exit with 1.
        with reader_may_leave(sys.stdout):
            return super().parse_args(ctx, args)
        ctx.exit()

    def invoke(self, ctx: click.Context) -> Any:
        # Without ``reader_may_leave``, "logs JOB | head" would exit with 1.
        with reader_may_leave(sys.stdout):
            return super().invoke(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _group(cmd_name) if cmd_name in GROUPS else super().get_command(ctx, cmd_name)


def _group(name: str) -> CommandGroup:
    # Each command can also be typed without the group's name.
    purpose, titles = GROUPS[name]
    sections = {title: tuple(each for each in SECTIONS[title] if each != name) for title in titles}
    example = next(iter(sections.values()))[0]
    return CommandGroup(
        name,
        modules={each: COMMANDS[each] for names in sections.values() for each in names},
        sections=sections,
        fallback_hint=f"show a job: {COMMAND} status" if name == "job" else "",
        help=f"{purpose}\n\n\b\nEach command also works without `{name}`:\n{COMMAND} {example}",
    )


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="orchestrator")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory of config.yaml, workspace, and logs (default: orchestrator's folder; if "
    "installed from a wheel: $ORCHESTRATOR_HOME, or .orchestrator/local of the project).",
)
@pass_cli_context
def commands(context: CliContext, home: Path | None) -> None:
    """Run AI agents in parallel on one repository, and merge their results.

    Results go to standard output, everything else to standard error.
    """
    if home is not None:
        context.use_home(home)
    context.check_home_and_choose_project()


def execute(arguments: Sequence[str] | None, context: CliContext) -> int:
    """Run a command line, and return the exit code. Errors are printed, and not raised."""
    has_json_option = "--json" in (sys.argv if arguments is None else arguments)
    try:
        result = commands.main(
            args=None if arguments is None else list(arguments),
            prog_name=COMMAND,
            complete_var=COMPLETE_VARIABLE,
            standalone_mode=False,
            obj=context,
            color=wants_color(context.environ),
        )
    except click.Abort:
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        report_usage_error(error, has_json_option)
        return error.exit_code
    except RuntimeError as error:
        # Python 3.11 raises this error if Ctrl-C interrupts the creation of a class in an import.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return ExitCode.INTERRUPTED
    except OrchestratorError as error:
        # The home is checked before the command's own options are read.
        as_json = context.as_json or has_json_option
        return report_error(error, as_json, is_in_worker=context.is_in_worker)
    except OSError as error:
        if error.filename is not None or not is_full_disk(error):
            raise
        click.echo(f"Error: cannot write the output: {error.strerror}", err=True)
        discard_output()
        return ExitCode.FAILED
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("orchestrator"):
            raise
        click.echo(f"Error: the package {error.name} is missing; run {INSTALL_COMMAND}", err=True)
        return ExitCode.FAILED
    return result if isinstance(result, int) else ExitCode.OK


def main() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        # Print a question mark for a character that the terminal cannot show, and raise no error.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    tolerate_full_disk()
    code = execute(None, CliContext(environ=os.environ))
    # When Python exits, it searches all objects for cycles, except frozen objects. The search would
    # take a seventh of a short command's CPU time.
    gc.freeze()
    sys.exit(code)
