"""The tools that a policy allows, and their calls. Invalid calls never raise."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings
from orchestrator.agents.model_loop.tools import bash, child_jobs, file_tools, search
from orchestrator.agents.model_loop.tools.allowed_paths import AllowedPaths
from orchestrator.agents.model_loop.tools.tool import Result, Tool, ToolRefused, Unusable, shortened
from orchestrator.core.text import json_values
from orchestrator.core.text.formatting import cut, one_line

#: Tools that write the file in their argument ``path``.
_WRITING = frozenset({"write", "edit"})
#: Names of all tools except tools for child jobs, including tools that the policy excludes.
_KNOWN = frozenset(("read", "write", "edit", "list", "search", "bash"))


class Toolbox:
    """The tools of one loop. All paths are relative to ``settings.cwd``."""

    def __init__(self, settings: LoopSettings) -> None:
        where = AllowedPaths(settings.cwd, confined=settings.policy != "full")
        tools = [file_tools.reading(where), search.listing(where), search.searching(where)]
        if settings.policy != "read-only":
            tools += [file_tools.writing(where), file_tools.editing(where)]
        if settings.policy == "full":
            tools.append(bash.running(settings.cwd, settings.timeouts, settings.hidden))
        self._policy = settings.policy
        self._where = where
        self._server: child_jobs.McpServerProcess | None = None
        if settings.child_jobs:
            tools += self._child_job_tools(settings)
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}

    def _child_job_tools(self, settings: LoopSettings) -> Sequence[Tool]:
        # If the MCP server cannot be started, the agent works without child jobs.
        environ = {each: value for each, value in os.environ.items() if each not in settings.hidden}
        try:
            self._server = child_jobs.McpServerProcess(settings.child_jobs, environ)
            return self._server.tools()
        except (OSError, Unusable):
            return []

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def use(self, name: str, arguments: Mapping[str, Any]) -> Result:
        tool = self.tools.get(name)
        if tool is None:
            return self._missing_tool(name)
        try:
            return Result(shortened(tool.use(arguments)))
        except ToolRefused as refusal:
            return Result(f"refused: {refusal}", failed=True, denied=True)
        except Unusable as error:
            return Result(shortened(str(error)), failed=True)
        except (OSError, ValueError, OverflowError) as error:
            return Result(shortened(f"failed: {error}"), failed=True)

    def _missing_tool(self, name: str) -> Result:
        available = f"available: {', '.join(self.tools)}"
        if name in _KNOWN:
            words = f"refused: the policy {self._policy!r} does not allow {name}; {available}"
            return Result(words, failed=True, denied=True)
        return Result(f"unknown tool {name[:100]!r}; {available}", failed=True)

    def writes(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the absolute path of the file that a tool call writes; () if it writes no file."""
        path = arguments.get("path")
        if name not in _WRITING or name not in self.tools or not isinstance(path, str):
            return ()
        try:
            return (str(self._where.to_change(path)),)
        except (ToolRefused, OSError, ValueError):
            return ()

    def is_slow(self, name: str) -> bool:
        return name in self.tools and self.tools[name].slow

    def summary(self, name: str, arguments: Mapping[str, Any]) -> str:
        tool = self.tools.get(name)
        value = arguments.get(tool.main, "") if tool else ""
        return cut(one_line(json_values.text(str(value))), 200, "…")
