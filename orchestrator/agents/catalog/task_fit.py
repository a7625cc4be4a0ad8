"""Checks, when a job is submitted, that an agent can run a task at all."""

import os
import shutil
from collections.abc import Mapping

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.job import PLANNER, TaskSpec


def check_fits(task: TaskSpec, agent: str, hindrance: str) -> None:
    """Raise InvalidRequest for a task with a command, or if ``hindrance`` prevents the agent's
    work.
    """
    if task.command:
        raise InvalidRequest(
            f"task {task.id!r} has a command, but agent {agent!r} runs none; use agent 'shell', "
            "or remove the command",
            kind="command-without-shell",
        )
    if hindrance:
        # Only messages on tasks that the caller named have the task's id.
        which = "" if task.id == PLANNER else f"task {task.id!r}: "
        raise InvalidRequest(
            f"{which}agent {agent!r} is not available: {hindrance}", kind="agent-not-usable"
        )


def lacking(program: str, bin: str, environ: Mapping[str, str]) -> str:
    """Return how to install a missing program; empty if it exists, or if that is unknown."""
    # The program may be in the worker's own directory.
    relative = "/" in program and not os.path.isabs(program)
    path = os.pathsep.join((bin, environ.get("PATH") or os.defpath))
    if relative or shutil.which(program, path=path):
        return ""
    return f"{program} is not installed; install it, or set agents.<name>.command in config.yaml"
