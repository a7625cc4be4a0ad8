"""Creates the call of Claude Code: its arguments, files, and environment."""

import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from orchestrator.agents.activity.session_follower import SessionFile
from orchestrator.agents.ai_tools.invocation.call import (
    AgentCall,
    AgentLogin,
    CallInputs,
    session_links,
    shell_environment,
    shell_files,
)
from orchestrator.agents.ai_tools.invocation.mcp_servers import (
    OWN_SERVER,
    inherited_servers,
    mcp_command,
    mcp_environment,
)
from orchestrator.agents.ai_tools.invocation.user_config import as_mapping, json_object, select_keys

#: Fields of the user's configuration that belong to the login, in addition to the credentials.
_ACCOUNT = ("oauthAccount", "primaryApiKey", "userID", "hasCompletedOnboarding")
_SETTINGS = ("apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "env", "model")
#: Files and directories of each part of the user's configuration that an attempt may inherit.
_INHERITED = {"skills": ("skills",), "memory": ("CLAUDE.md", "rules")}
_LOOKING = "Read,Grep,Glob,LS,WebFetch,WebSearch,TodoWrite"
#: Prefix of the tool names of orchestrator's MCP server. In ``--allowedTools``, the prefix alone
#: stands for all of these tools.
_OWN_TOOLS = "mcp__orchestrator"
_STORAGE = "CLAUDE_SECURESTORAGE_CONFIG_DIR"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def call(inputs: CallInputs) -> AgentCall:
    config = inputs.control / "claude"
    user_config = Path(inputs.environ.get("CLAUDE_CONFIG_DIR") or inputs.user_home / ".claude")
    servers = _servers(inputs, user_config)
    reads_messages = not (inputs.in_terminal or inputs.windows or inputs.schema)
    return AgentCall(
        argv=tuple(_arguments(inputs, config, servers, reads_messages=reads_messages)),
        reader="claude",
        env={
            "CLAUDE_CONFIG_DIR": str(config),
            **_login_variable(inputs, user_config),
            # As root, Claude refuses to skip permission prompts unless this variable is set.
            **({"IS_SANDBOX": "1"} if inputs.root and inputs.policy == "full" else {}),
            **_shell_variables(inputs),
        },
        files={**_files(inputs, config, user_config, servers), **shell_files(inputs)},
        logins=(
            AgentLogin(
                source=user_config / ".credentials.json", target=config / ".credentials.json"
            ),
        ),
        links=session_links(inputs, config / "projects", "claude"),
        inherited={
            config / name: user_config / name
            for kind, names in _INHERITED.items()
            if kind in inputs.inherit
            for name in names
        },
        session=SessionFile(config / "projects", f"*/{inputs.resume}.jsonl")
        if inputs.resume
        else None,
        resumes=bool(inputs.resume),
        input_line=_input_line if reads_messages else None,
    )


def _arguments(
    inputs: CallInputs, config: Path, servers: Collection[str], *, reads_messages: bool
) -> list[str]:
    argv = [*inputs.command]
    if inputs.in_terminal:
        argv += ["--permission-mode", "default"]
    else:
        argv += ["-p", "--output-format", "stream-json", "--verbose", *_policy(inputs, servers)]
    if reads_messages:
        argv += ["--input-format", "stream-json", "--replay-user-messages"]
    if inputs.model:
        argv += ["--model", inputs.model]
    if inputs.limits.max_steps is not None:
        argv += ["--max-turns", str(inputs.limits.max_steps)]
    # For a resumed session, Claude would also count the cost of earlier runs, so only the driver
    # enforces the cap.
    if inputs.limits.max_cost_usd is not None and not inputs.resume:
        argv += ["--max-budget-usd", f"{inputs.limits.max_cost_usd:g}"]
    if inputs.resume:
        argv += ["--resume", inputs.resume]
    if inputs.limits.max_cost_usd is not None or inputs.limits.max_tokens is not None:
        # With a cap, the driver needs the usage of an answer before the whole answer has ended.
        argv += ["--include-partial-messages"]
    if inputs.schema:
        argv += ["--json-schema", json.dumps(inputs.schema)]
    argv += ["--strict-mcp-config"]
    if servers:
        argv += ["--mcp-config", str(config / "mcp.json")]
    return argv


def _input_line(text: str, name: str) -> str:
    content = [{"type": "text", "text": text}]
    return json.dumps(
        {"type": "user", "uuid": name, "message": {"role": "user", "content": content}}
    )


def _policy(inputs: CallInputs, servers: Collection[str]) -> list[str]:
    if inputs.policy == "full":
        return ["--dangerously-skip-permissions"]
    if inputs.policy == "edit":
        tools = [_OWN_TOOLS, *(f"mcp__{_NOT_IN_NAMES.sub('_', name)}" for name in servers)]
        allowed = f"Bash,Edit,Write,MultiEdit,NotebookEdit,{_LOOKING}"
        all_tools = ",".join((allowed, *dict.fromkeys(tools)))
        return ["--permission-mode", "acceptEdits", "--allowedTools", all_tools]
    denied = "Bash,Edit,Write,MultiEdit,NotebookEdit"
    return ["--allowedTools", _LOOKING, "--disallowedTools", denied]


def _login_variable(inputs: CallInputs, user_config: Path) -> dict[str, str]:
    """Return the environment variable that makes Claude use the user's login.

    ``user_config``: the user's directory for Claude. With the variable, Claude creates a lock in
    this directory before it renews the login, as the user's other sessions do.

    The result is empty if Claude cannot create the lock, because the directory is read-only. Claude
    then gets only a link to the login file. The result is also empty if Claude runs on Windows, or
    if the user has set the variable.
    """
    if inputs.windows or _STORAGE in inputs.environ or not os.access(user_config, os.W_OK):
        return {}
    # Pass the user's value unchanged; empty means Claude's default directory. On macOS, another
    # spelling of the same directory would select another login.
    return {_STORAGE: inputs.environ.get("CLAUDE_CONFIG_DIR") or ""}


def _shell_variables(inputs: CallInputs) -> dict[str, str]:
    # Claude's shell gets PATH from a saved login shell, and then runs CLAUDE_ENV_FILE. This file
    # adds orchestrator's commands to PATH.
    environment = shell_environment(inputs)
    return {**environment, "CLAUDE_ENV_FILE": environment["BASH_ENV"]}


def _files(
    inputs: CallInputs, config: Path, user_config: Path, servers: Mapping[str, Mapping[str, Any]]
) -> dict[Path, str]:
    state = {"hasCompletedOnboarding": True, **select_keys(_account(inputs, user_config), _ACCOUNT)}
    files = {config / ".claude.json": json.dumps(state)}
    names = (*_SETTINGS, "hooks", "disableAllHooks") if "hooks" in inputs.inherit else _SETTINGS
    settings = select_keys(json_object(user_config / "settings.json"), names)
    if settings:
        files[config / "settings.json"] = json.dumps(settings)
    if servers:
        files[config / "mcp.json"] = json.dumps({"mcpServers": servers})
    return files


def _account(inputs: CallInputs, user_config: Path) -> Mapping[str, Any]:
    # By default, the file is next to the configuration directory. If the user has set the
    # directory, the file is inside it.
    config_dir = inputs.environ.get("CLAUDE_CONFIG_DIR")
    return json_object((user_config if config_dir else inputs.user_home) / ".claude.json")


def _servers(inputs: CallInputs, user_config: Path) -> dict[str, Mapping[str, Any]]:
    account = _account(inputs, user_config) if "mcp" in inputs.inherit else {}
    # ``claude mcp add`` registers a server for the directory in which the user typed the command.
    project = as_mapping(as_mapping(account.get("projects")).get(inputs.user_project))
    servers = {**as_mapping(account.get("mcpServers")), **as_mapping(project.get("mcpServers"))}
    inherited = inherited_servers(inputs, servers)
    return {**inherited, OWN_SERVER: _mcp(inputs)} if inputs.recursive else inherited


def _mcp(inputs: CallInputs) -> Mapping[str, Any]:
    program, arguments = mcp_command(inputs)
    return {
        "command": program,
        "args": arguments,
        "env": mcp_environment(inputs),
        # Load the tools at the start, so that the model need not search for a tool before a call.
        "alwaysLoad": True,
    }
