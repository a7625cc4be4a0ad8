"""MCP servers of an agent's program: orchestrator's own server, and servers of the user."""

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.agents.ai_tools.invocation.call import CallInputs

#: Name of orchestrator's own MCP server in a tool's configuration.
OWN_SERVER = "orchestrator"


def inherited_servers(inputs: CallInputs, servers: object) -> dict[str, Mapping[str, Any]]:
    """Return {name: settings} of the user's MCP servers that the attempt inherits.

    ``servers``: all MCP servers in the user's configuration. The result is empty if the attempt
    inherits no MCP servers. It is also empty if the policy is read-only, because an MCP server may
    change files. The user's entry for orchestrator's own server is omitted, because the entry
    contains the user's key. With this key, a worker could exceed its limits.
    """
    if (
        "mcp" not in inputs.inherit
        or inputs.policy == "read-only"
        or not isinstance(servers, Mapping)
    ):
        return {}
    program = str(inputs.home / "bin" / "orchestrator")
    return {
        str(name): server
        for name, server in servers.items()
        if isinstance(server, Mapping)
        and name != OWN_SERVER
        and program not in json.dumps(server, default=str)
    }


def mcp_environment(inputs: CallInputs) -> dict[str, str]:
    """Return the environment of orchestrator's MCP server, which contains the worker's API key."""
    prefixes = ("ORCHESTRATOR_",) if inputs.windows else ("ORCHESTRATOR_", "PATH", "HOME", "LANG")
    variables = {name: value for name, value in inputs.environ.items() if name.startswith(prefixes)}
    # A tool on Windows calls Linux programs with wsl.exe. WSLENV names the variables to pass.
    return {**variables, "WSLENV": ":".join(variables)} if inputs.windows else variables


def mcp_command(inputs: CallInputs) -> tuple[str, list[str]]:
    """Return the program that starts orchestrator's MCP server, and the program's arguments."""
    program = str(inputs.home / "bin" / "orchestrator")
    if inputs.windows:
        distribution = inputs.environ.get("WSL_DISTRO_NAME", "")
        options = ["-d", distribution] if distribution else []
        return "wsl.exe", [*options, "--exec", program, "mcp"]
    return program, ["mcp"]
