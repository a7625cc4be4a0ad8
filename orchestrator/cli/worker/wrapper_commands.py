"""``orchestrator spawn``, ``lock``, and ``mcp`` for callers that do not use ``bin/orchestrator``.

``bin/orchestrator`` starts these programs directly, which is faster.
"""

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context


@click.command(
    "spawn",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def spawn_command(arguments: tuple[str, ...]) -> None:
    """Start a child job from a worker (options: spawn -h)."""
    from orchestrator.cli.worker.spawn import main

    main(list(arguments))


@click.command(
    "lock",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lock_command(arguments: tuple[str, ...]) -> None:
    """Acquire a lock for this worker (options: lock -h)."""
    from orchestrator.cli.worker.lock import main

    main(["lock", *arguments])


@click.command(
    "mcp",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_cli_context
def mcp_command(context: CliContext, arguments: tuple[str, ...]) -> None:
    """Let AI tools control jobs over MCP (options: mcp -h)."""
    from orchestrator.api.mcp.stdio import main

    main(list(arguments), context.folder)
