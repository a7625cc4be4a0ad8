"""``orchestrator node``: makes this machine a node of a cluster."""

import os
from functools import partial
from pathlib import Path

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import Count


@click.group("node")
def node_command() -> None:
    """Run workers on this machine for a server on another machine."""


@node_command.command("join")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option(
    "--slots",
    type=Count(1, 10_000),
    metavar="N",
    help="Maximum number of workers that run in parallel (default: number of processors).",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Directory on a local disk for records and logs of running workers (default: below "
    "$XDG_STATE_HOME, or ~/.local/state).",
)
@click.option(
    "--own-files",
    is_flag=True,
    help="Copy each worker's files. Use this option if this machine cannot open the server's "
    "files.",
)
@pass_cli_context
def join_command(
    context: CliContext,
    file: Path,
    slots: int | None,
    state: Path | None,
    own_files: bool,
) -> int:
    """Join the cluster that FILE names, and run its workers here.

    Runs until SIGTERM or Ctrl-C. Then the workers stop, and start again on other machines.
    """
    from orchestrator.agents.availability.node_availability import node_report
    from orchestrator.engine.runtime.machine_headroom import memory_and_disk
    from orchestrator.git.worktrees.node_worktrees import NodeRepository
    from orchestrator.launchers.cluster.node.join_file import JoinFile
    from orchestrator.launchers.cluster.node.node_process import locked, run

    join_file = JoinFile.read(file)
    directory = state or _state_home(context) / "orchestrator" / "nodes" / join_file.name
    node_directory = Path(os.path.abspath(directory))
    # Lock first, because a running node reads the certificates when it reconnects.
    with locked(node_directory, join_file.name):
        look = partial(node_report, environ=context.environ)
        settings = join_file.unpack(node_directory, slots, own_files=own_files, home=context.folder)
        repository = NodeRepository(node_directory / "repository.git")
        return run(settings, click.echo, look, memory_and_disk, repository)


def _state_home(context: CliContext) -> Path:
    configured = context.environ.get("XDG_STATE_HOME")
    return Path(configured) if configured else Path.home() / ".local" / "state"
