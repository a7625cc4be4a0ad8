"""``orchestrator completion``: scripts that complete command lines in a shell."""

import click
from click.shell_completion import get_completion_class

from orchestrator.cli.command_line.command_group import COMPLETE_VARIABLE
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.core.errors import InvalidRequest

SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "orchestrator"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> int:
    """Print a script that completes commands and options in SHELL.

    \b
    bash, in ~/.bashrc:  eval "$(orchestrator completion bash)"
    zsh, in ~/.zshrc:    eval "$(orchestrator completion zsh)"
    fish:                orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
    """
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise InvalidRequest(f"no completion for {shell}; use one of {', '.join(SHELLS)}")
    complete = completion_class(ctx.find_root().command, {}, _PROGRAM, COMPLETE_VARIABLE)
    # Do not call source(), which runs bash to find its version.
    click.echo(complete.source_template % complete.source_vars())
    return ExitCode.OK
