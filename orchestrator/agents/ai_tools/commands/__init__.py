"""Command line, files, and environment of each program: one module per program.

Each module has a function ``call``. The module ``custom`` is for agents from the user's settings.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from orchestrator.agents.ai_tools.invocation.call import AgentCall, CallInputs


def call_for(tool: str) -> Callable[[CallInputs], AgentCall]:
    """Return the function ``call`` of a tool. Raise ValueError for an unknown tool."""
    module = f"{__name__}.{tool}"
    if not tool.isidentifier() or find_spec(module) is None:
        raise ValueError(f"unknown tool {tool!r}; known: {', '.join(tools())}")
    call: Callable[[CallInputs], AgentCall] = import_module(module).call
    return call


def tools() -> tuple[str, ...]:
    # Imported here, because an attempt does not need the list of all tools.
    from orchestrator.core.model.known_agents import PROGRAMS

    return (*(each.name for each in PROGRAMS), "custom")
