"""Claude Code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.agents.tools.call import Ask, Call, Login, mcp_command, mcp_environment
from orchestrator.agents.tools.shells import shell_environment, shell_files
from orchestrator.agents.tools.user_files import json_object, kept

#: What makes a login out of the user's own files, beside the credentials.
_ACCOUNT = ("oauthAccount", "primaryApiKey", "userID", "hasCompletedOnboarding")
_SETTINGS = ("apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "env", "model")
_LOOKING = "Read,Grep,Glob,LS,WebFetch,WebSearch,TodoWrite"
#: By a name of ours: the tools of our MCP server are allowed where they are offered.
_OWN_TOOLS = "mcp__orchestrator"


def call(ask: Ask) -> Call:
    config = ask.control / "claude"
    own = Path(ask.environ.get("CLAUDE_CONFIG_DIR") or ask.user_home / ".claude")
    argv = [*ask.command, "-p", "--output-format", "stream-json", "--verbose", *_policy(ask)]
    if ask.model:
        argv += ["--model", ask.model]
    if ask.limits.max_steps is not None:
        argv += ["--max-turns", str(ask.limits.max_steps)]
    if ask.limits.max_cost_usd is not None:
        argv += ["--max-budget-usd", f"{ask.limits.max_cost_usd:g}"]
    if ask.schema:
        argv += ["--json-schema", json.dumps(ask.schema)]
    argv += ["--strict-mcp-config"]
    if ask.recursive:
        argv += ["--mcp-config", str(config / "mcp.json")]
    return Call(
        argv=tuple(argv),
        reader="claude",
        env={"CLAUDE_CONFIG_DIR": str(config), **_root(ask), **_shell(ask)},
        files={**_files(ask, config, own), **shell_files(ask)},
        logins=(Login(source=own / ".credentials.json", target=config / ".credentials.json"),),
    )


def _policy(ask: Ask) -> list[str]:
    if ask.policy == "full":
        return ["--dangerously-skip-permissions"]
    if ask.policy == "edit":
        allowed = f"Bash,Edit,Write,MultiEdit,NotebookEdit,{_LOOKING},{_OWN_TOOLS}"
        return ["--permission-mode", "acceptEdits", "--allowedTools", allowed]
    denied = "Bash,Edit,Write,MultiEdit,NotebookEdit"
    return ["--allowedTools", _LOOKING, "--disallowedTools", denied]


def _root(ask: Ask) -> dict[str, str]:
    # It refuses to skip permissions as the superuser unless it is told that this is meant.
    return {"IS_SANDBOX": "1"} if ask.root and ask.policy == "full" else {}


def _shell(ask: Ask) -> dict[str, str]:
    # Its shell takes PATH from what it kept of a login shell; this file comes after that.
    environment = shell_environment(ask)
    return {**environment, "CLAUDE_ENV_FILE": environment["BASH_ENV"]}


def _files(ask: Ask, config: Path, own: Path) -> dict[Path, str]:
    # Beside the configuration directory by default, and in it when one is given.
    account = own / ".claude.json" if "CLAUDE_CONFIG_DIR" in ask.environ else _account(ask)
    state = {"hasCompletedOnboarding": True, **kept(json_object(account), _ACCOUNT)}
    files = {config / ".claude.json": json.dumps(state)}
    settings = kept(json_object(own / "settings.json"), _SETTINGS)
    if settings:
        files[config / "settings.json"] = json.dumps(settings)
    if ask.recursive:
        files[config / "mcp.json"] = json.dumps(_mcp(ask))
    return files


def _account(ask: Ask) -> Path:
    return ask.user_home / ".claude.json"


def _mcp(ask: Ask) -> Mapping[str, Any]:
    program, arguments = mcp_command(ask)
    server = {
        "command": program,
        "args": arguments,
        "env": mcp_environment(ask),
        # Else a model has to search for a tool that it was told of before it can use it.
        "alwaysLoad": True,
    }
    return {"mcpServers": {"orchestrator": server}}
