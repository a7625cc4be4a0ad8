"""``orchestrator spawn`` for callers that do not use ``bin/orchestrator``, which starts it
faster.
"""

import click


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
