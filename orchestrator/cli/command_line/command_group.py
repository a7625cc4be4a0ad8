"""A group of commands. The help lists the commands by section.

The module of a command is loaded only when the command is needed. For an unknown command, the error
suggests similar names.
"""

import re
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.core.text.command_name import IN_FOLDER

#: Environment variable with which a shell requests the completions of a command line.
COMPLETE_VARIABLE = "_ORCHESTRATOR_COMPLETE"
#: Matches ``bin/orchestrator`` in a help text, but not as the end of a longer path.
_IN_HELP = re.compile(rf"(?<![\w./-]){re.escape(IN_FOLDER)}")
#: Names of commands, by title of the section.
Sections = Mapping[str, tuple[str, ...]]


class CommandGroup(click.Group):
    def __init__(
        self,
        *args: Any,
        modules: Mapping[str, str],
        sections: Sections,
        fallback_hint: str = "",
        **kwargs: Any,
    ) -> None:
        """``modules``: {name of a command: module of the command}.

        ``sections``: {title of a section in ``--help``: names of the section's commands}.
        ``fallback_hint``: hint for an unknown command without a similar name, such as ``show a
        job: orchestrator status``. The unknown word is appended to the hint.
        """
        super().__init__(*args, **kwargs)
        self.modules = modules
        self._sections = sections
        self._fallback_hint = fallback_hint

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        module = import_module(f"orchestrator.cli.{self.modules[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        if command.help:
            command.help = _IN_HELP.sub(lambda _: COMMAND, command.help)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_sections(ctx, formatter, self._sections)

    def format_sections(
        self, ctx: click.Context, formatter: click.HelpFormatter, sections: Sections
    ) -> None:
        longest = max(len(name) for names in sections.values() for name in names)
        text_width = formatter.width - 6 - longest
        for title, names in sections.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name.ljust(longest), command.get_short_help_str(text_width))
                        for name, command in commands
                        if command is not None
                    ]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            near = get_close_matches(args[0], self.modules, cutoff=0.7)
            if near:
                hint = f"did you mean {' or '.join(map(repr, near))}?"
            elif self._fallback_hint:
                hint = f"{self._fallback_hint} {shlex.quote(args[0])}"
            else:
                hint = f"list all commands: {COMMAND} help"
            raise click.UsageError(f"unknown command {args[0]!r}; {hint}", error.ctx) from error
