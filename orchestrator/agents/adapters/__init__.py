"""Agents that are programs: what each of them is called with, and what it needs around it.

``agents/catalog`` is what the server knows of them; what is here is used by the driver.

- ``aider``: Aider: its command line and its output
- ``claude``: Claude Code: its command line and its output
- ``codex``: Codex: its command line, its output, its sandbox and its session files
- ``custom``: A program that the user configured: its command line and its output
- ``gemini``: Gemini CLI: its command line and its output
- ``invocation``: How an agent's program is started: arguments, environment, the user's own files
- ``opencode``: OpenCode: its command line and its output
- ``parsing``: What the readers of all programs share: usage, outcomes, failures, JSON
"""

from collections.abc import Callable
from importlib import import_module

from orchestrator.agents.adapters.invocation.call import AgentCall, Ask

#: The tools that have a module here, which has a ``call``.
CALLS = ("claude", "codex", "gemini", "opencode", "aider", "custom")


def call_for(tool: str) -> Callable[[Ask], AgentCall]:
    """Raise ValueError for a tool that is none of ours."""
    if tool not in CALLS:
        raise ValueError(f"no such tool: {tool!r}; there are {', '.join(CALLS)}")
    call: Callable[[Ask], AgentCall] = import_module(
        f"orchestrator.agents.adapters.{tool}.command"
    ).call
    return call
