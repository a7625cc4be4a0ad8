"""Converts a script's calls to the tools that the requesting agent offers."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.agents.model_api.scripts import Call


@dataclass(frozen=True)
class OfferedTool:
    """A tool that the request offers to the model."""

    name: str
    properties: Mapping[str, Any]
    #: Group of the tool: Codex groups the tools of an MCP server under the server's name.
    namespace: str = ""
    #: True if the tool takes text instead of a JSON object.
    custom: bool = False


@dataclass(frozen=True)
class AgentCall:
    """A tool call in the form that the agent expects."""

    name: str
    arguments: Any
    namespace: str = ""
    custom: bool = False


SHELLS = ("Bash", "bash", "exec_command", "shell_command", "shell", "run_shell_command")
WRITERS = ("Write", "write", "write_file")
COMMANDS = ("command", "cmd")
PATHS = ("file_path", "filePath", "path")
TEXTS = ("content", "text")


def offered_tools(body: Any) -> tuple[OfferedTool, ...]:
    """Return all tools of a request of any API."""
    if not isinstance(body, dict):
        return ()
    entries = body.get("input") if isinstance(body.get("input"), list) else []
    # For its newest models, Codex puts the tools into the input.
    more = [each for each in entries or [] if each.get("type") == "additional_tools"]
    return tuple(_tools([*(body.get("tools") or []), *(t for each in more for t in each["tools"])]))


def _tools(tools: Any, namespace: str = "") -> Iterator[OfferedTool]:
    for tool in tools:
        if "functionDeclarations" in tool:
            yield from _tools(tool["functionDeclarations"])
        elif isinstance(tool.get("tools"), list):
            yield from _tools(tool["tools"], str(tool.get("name", "")))
        elif "name" in tool or "function" in tool:
            yield _one(tool.get("function") or tool, namespace)


def _one(tool: Mapping[str, Any], namespace: str) -> OfferedTool:
    keys = ("input_schema", "parameters", "parametersJsonSchema")
    schema: Mapping[str, Any] = next((tool[key] for key in keys if tool.get(key)), {})
    custom = tool.get("type") == "custom"
    return OfferedTool(tool["name"], schema.get("properties") or {}, namespace, custom)


def agent_call(call: Call, tools: tuple[OfferedTool, ...]) -> AgentCall:
    execute = next((tool for tool in tools if tool.name == "exec" and tool.custom), None)
    if execute is not None:
        return AgentCall(execute.name, _as_code(call), execute.namespace, custom=True)
    if call.neutral == "shell":
        return _shell(call.arguments["command"], tools)
    if call.neutral == "write":
        return _write(call, tools)
    if call.neutral == "mcp":
        return _mcp(call, tools)
    return AgentCall(call.tool, call.arguments)


#: Codex waits this long for a script, and for one command or tool.
_YIELD = '// @exec: {"yield_time_ms": 120000}\n'
_WAITING = """\
let done = await tools.exec_command(%s);
while (done.session_id !== undefined) {
  done = await tools.write_stdin({session_id: done.session_id, chars: "", yield_time_ms: 30000});
}
text(`exited with code ${done.exit_code}\\n${done.output}`);
"""


def _as_code(call: Call) -> str:
    """Return JavaScript that makes the call: in Codex's code mode, the model writes programs."""
    if call.neutral == "write":
        call = _write_by_shell(call)
    if call.neutral == "shell":
        call = Call("exec_command", {"cmd": call.arguments["command"]})
    if call.tool == "exec_command":
        return _YIELD + _WAITING % json.dumps({"yield_time_ms": 30000, **call.arguments})
    found = f"ALL_TOOLS.find(tool => tool.name.endsWith({json.dumps(call.tool)})).name"
    return f"{_YIELD}text(await tools[{found}]({json.dumps(call.arguments)}));\n"


def _write_by_shell(call: Call) -> Call:
    path, text = call.arguments["path"], call.arguments["text"]
    return Call.shell(f"printf %s {shlex.quote(text)} > {shlex.quote(path)}")


def _find(names: tuple[str, ...], tools: tuple[OfferedTool, ...]) -> OfferedTool | None:
    return next((tool for name in names for tool in tools if tool.name == name), None)


def _key(names: tuple[str, ...], tool: OfferedTool) -> str:
    return next((name for name in names if name in tool.properties), names[0])


def _shell(command: str, tools: tuple[OfferedTool, ...]) -> AgentCall:
    tool = _find(SHELLS, tools) or OfferedTool("bash", {})
    key = _key(COMMANDS, tool)
    takes_list = tool.properties.get(key, {}).get("type") == "array"
    arguments: dict[str, Any] = {key: ["bash", "-lc", command] if takes_list else command}
    if "description" in tool.properties:
        arguments["description"] = "run a command"
    return AgentCall(tool.name, arguments)


def _write(call: Call, tools: tuple[OfferedTool, ...]) -> AgentCall:
    path, text = call.arguments["path"], call.arguments["text"]
    tool = _find(WRITERS, tools)
    if tool is None:
        return _shell(_write_by_shell(call).arguments["command"], tools)
    return AgentCall(tool.name, {_key(PATHS, tool): path, _key(TEXTS, tool): text})


def _mcp(call: Call, tools: tuple[OfferedTool, ...]) -> AgentCall:
    """Return a call of the MCP tool by the agent's name for the tool.

    Examples of names: mcp__orchestrator__orchestrate, orchestrator_orchestrate.
    """
    fits = [tool for tool in tools if tool.name == call.tool or _ends(tool.name, call.tool)]
    tool = next(iter(fits), OfferedTool(call.tool, {}))
    return AgentCall(tool.name, call.arguments, tool.namespace)


def _ends(name: str, tool: str) -> bool:
    return name.endswith(f"_{tool}") or name.endswith(f".{tool}")
