"""``orchestrator completion``: scripts that complete command lines in a shell."""

import os
import shlex

import click
from click.shell_completion import get_completion_class

from orchestrator.cli.command_line.command_group import COMPLETE_VARIABLE
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.core.errors import InvalidRequest

SHELLS = ("bash", "zsh", "fish")
#: The name whose arguments are completed. Shells also use it for paths such as bin/orchestrator.
_NAME = "orchestrator"


def program_of(command: str) -> str:
    """Return a form of ``command`` that works in any directory."""
    words = shlex.split(command)
    return shlex.quote(os.path.abspath(words[0])) if len(words) == 1 and "/" in command else command


#: The program that the scripts start.
_PROGRAM = program_of(COMMAND)
#: Parts of click's scripts, and their replacements.
_CHANGES = {
    # Click's scripts start the program by its name, which may not be on the PATH.
    f"    (( ! $+commands[{_NAME}] )) && return 1\n": "",
    f"=zsh_complete {_NAME})": f"=zsh_complete {_PROGRAM})",
    f"COMP_CWORD=(commandline -t) {_NAME})": f"COMP_CWORD=(commandline -t) {_PROGRAM})",
    # Click's script would cut a description at its first comma.
    '(string split "," $completion)': '(string split --max 1 "," $completion)',
}
_HELP = f"""Print a script for completion in bash, zsh, or fish.

\b
bash, in ~/.bashrc:
  eval "$({_PROGRAM} completion bash)"
zsh, in ~/.zshrc, after compinit:
  eval "$({_PROGRAM} completion zsh)"
fish:
  {_PROGRAM} completion fish > ~/.config/fish/completions/orchestrator.fish
"""


@click.command("completion", help=_HELP)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> int:
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise InvalidRequest(f"no completion for {shell}; use one of {', '.join(SHELLS)}")
    complete = completion_class(ctx.find_root().command, {}, _NAME, COMPLETE_VARIABLE)
    # Do not call source(), which runs bash to find its version.
    script = complete.source_template % complete.source_vars()
    for part, replacement in _CHANGES.items():
        script = script.replace(part, replacement)
    click.echo(script)
    return ExitCode.OK
