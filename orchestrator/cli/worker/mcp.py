"""``orchestrator mcp`` for callers that do not use ``bin/orchestrator``, which starts it faster."""

import click

from orchestrator.cli.context import CliContext, pass_surroundings


@click.command(
    "mcp",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_surroundings
def mcp_command(surroundings: CliContext, arguments: tuple[str, ...]) -> None:
    """Serve AI tools over MCP (options: mcp -h)."""
    from orchestrator.api.mcp.stdio import main

    main(list(arguments), surroundings.folder)
