"""The section ``orchestrator``: project, workspace, and agent programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, create_model

from orchestrator.config.fields.choices import ExecutionMode
from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import PathText, Seconds, Word
from orchestrator.core.model.known_agents import PROGRAMS, KnownTool

Mode = Annotated[ExecutionMode, Field(strict=False)]


class _Workplace(Section):
    execution_mode: Mode = ExecutionMode.NATIVE
    """Where AI tools run: native or wsl (the server's system), or windows (server in WSL)."""
    workspace_root: PathText = Path("workspace")
    """Directory for the files of all jobs."""


if TYPE_CHECKING:
    _Commands = _Workplace
else:
    # One setting for each built-in agent that is a program, such as claude_command. The method
    # command_of reads these settings.
    _Commands = create_model(
        "_Commands",
        __base__=_Workplace,
        **{
            each.command_setting: (
                Word,
                Field(
                    default=each.program,
                    description=f"Command that starts {each.title or each.description}.",
                ),
            )
            for each in PROGRAMS
        },
    )


class Orchestrator(_Commands):
    """Project, workspace, and agent programs."""

    project_root: PathText | None = None
    """Directory of the project; null: see "Which project" in docs/reference/folder.md."""
    keep_jobs_seconds: Annotated[Seconds, Field(ge=1)] | None = None
    """Retention of ended jobs, in seconds; null: keep forever."""

    def command_of(self, agent: KnownTool) -> str:
        return str(getattr(self, agent.command_setting)) if agent.program else ""
