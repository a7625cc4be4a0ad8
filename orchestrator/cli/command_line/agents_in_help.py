"""Commands whose help lists agents."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.core.model.known_agents import KnownTool


class AgentsInHelp(click.Command):
    """A command that works only with some agents. Its help lists them in place of ``{agents}``."""

    def __init__(
        self, *arguments: Any, is_listed: "Callable[[KnownTool], bool]", **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._is_listed = is_listed

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Imported here, because only the help needs the list of agents.
        from orchestrator.core.model.known_agents import KNOWN

        *others, last = (each.name for each in KNOWN if self._is_listed(each))
        self.help = str(self.help).format(agents=f"{', '.join(others)}, or {last}")
        super().format_help_text(ctx, formatter)
