"""The command line: ``orchestrator <command>``.

- ``changes``: Commands for a job's changes: merge, diff, land, undo, apply, roll back
- ``demo``: The command ``demo``: a real run with scripted agents in a repository of its own
- ``doctor``: The command ``doctor``: one module for each subject that it checks
- ``follow``: Following a running job in a terminal
- ``jobs``: Commands that start, show and control jobs
- ``offline``: Jobs read from their files, without a server
- ``output``: Output of commands: errors, exit codes, tables, terminals
- ``plan``: Commands and options around plans: options of jobs, plan files, review, gates
- ``server``: Commands and parts around the server's process
- ``setup``: Commands that set up and maintain the product: init, config, keys, agents, clean
- ``worker``: Commands for workers: ``spawn``, ``lock`` and MCP; the first two need no package
"""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

import click

from orchestrator import __version__
from orchestrator.cli.context import CliContext
from orchestrator.cli.output import exit_codes
from orchestrator.cli.output.errors import report_error
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal import ARGUMENTS, no_color
from orchestrator.core.command_name import COMMAND
from orchestrator.core.errors import OrchestratorError

#: Command name: the module of this package that has it, as an attribute of the same name.
COMMANDS = {
    "run": "jobs.run",
    "demo": "demo.command",
    "serve": "server.serve",
    "submit": "jobs.submit",
    "status": "jobs.status",
    "logs": "jobs.logs",
    "wait": "jobs.control",
    "approve": "jobs.control",
    "reject": "jobs.control",
    "cancel": "jobs.control",
    "retry": "jobs.control",
    "continue": "jobs.continue_job",
    "jobs": "jobs.list_jobs",
    "report": "jobs.report",
    "merge": "changes.merge",
    "choose": "changes.merge",
    "diff": "changes.land",
    "attach": "jobs.attach",
    "apply": "changes.apply",
    "land": "changes.land",
    "undo": "changes.land",
    "restore": "changes.restore",
    "checkpoints": "changes.checkpoints",
    "rollback": "changes.checkpoints",
    "compare": "jobs.compare",
    "spawn": "worker.spawn_command",
    "lock": "worker.lock_commands",
    "unlock": "worker.lock_commands",
    "locks": "worker.lock_commands",
    "mcp": "worker.mcp",
    "init": "setup.init",
    "plan": "plan.plan_command",
    "roles": "setup.roles",
    "gates": "plan.gates_command",
    "config": "setup.config",
    "agents": "setup.agents",
    "keys": "setup.keys",
    "doctor": "doctor.command",
    "completion": "setup.completion",
    "clean": "setup.clean",
    "discard": "setup.clean",
}

EPILOG = f"""\b
Exit codes:
{exit_codes.table()}

\b
Completion for bash: eval "$({COMMAND} completion bash)"; also zsh, fish
"""


class Commands(click.Group):
    """Loads the module of a command when it is asked for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"orchestrator.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], COMMANDS, cutoff=0.7)
            if not near:
                raise
            told = f"{error.message} Did you mean {' or '.join(near)}?"
            raise click.UsageError(told, error.ctx) from error


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="orchestrator")
def commands() -> None:
    """Run one request as a tree of worker processes.

    Results go to standard output, everything else to standard error.
    """


def execute(arguments: Sequence[str] | None, surroundings: CliContext) -> int:
    """Carry out one command line; return the exit code. Errors are reported, not raised."""
    try:
        result = commands.main(
            args=None if arguments is None else list(arguments),
            prog_name="orchestrator",
            standalone_mode=False,
            obj=surroundings,
            color=False if no_color(surroundings.environ) else None,
        )
    except click.Abort:
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OrchestratorError as error:
        return report_error(error, surroundings.as_json)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("orchestrator"):
            raise
        click.echo(f"Error: the package {error.name} is missing; run ./install.sh", err=True)
        return ExitCode.FAILED
    return result if isinstance(result, int) else ExitCode.OK


def main() -> NoReturn:
    """The program ``orchestrator``."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding than UTF-8 gets question marks, not a crash.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(execute(None, CliContext(environ=os.environ)))
