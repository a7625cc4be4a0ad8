"""Agents that are programs: what each of them is called with, and what it needs around it.

``catalog`` is what the server knows of them; the modules here are used by the driver.
"""

from collections.abc import Callable
from importlib import import_module

from orchestrator.agents.tools.call import Ask, Call

#: The tools that have a module here, which has a ``call``.
CALLS = ("claude", "codex", "gemini", "opencode", "aider", "custom")


def call_for(tool: str) -> Callable[[Ask], Call]:
    """Raise ValueError for a tool that is none of ours."""
    if tool not in CALLS:
        raise ValueError(f"no such tool: {tool!r}; there are {', '.join(CALLS)}")
    call: Callable[[Ask], Call] = import_module(f"orchestrator.agents.tools.{tool}").call
    return call
