"""Creates the call of Gemini CLI: its arguments, files, and environment."""

import json
from collections.abc import Mapping
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
from orchestrator.core.model.known_agents import COMMAND_SECONDS

_LOGIN_FILES = ("oauth_creds.json", "google_accounts.json", "installation_id", ".env")
_SERVER_LOGIN = "mcp-oauth-tokens.json"
_MEMORY = "GEMINI.md"
#: Gemini's own limit is ``max_steps`` plus this number of turns. The driver must stop Gemini first:
#: at its own limit, Gemini exits with code 0 and "success".
_SPARE_TURNS = 5
_MODES = {"full": "yolo", "edit": "auto_edit", "read-only": "default"}
#: Maximum attempts of one model call. Gemini's default of 10 takes three minutes if the model is
#: rate-limited.
_ATTEMPTS = 3
#: Tools that change files or run commands. The policy read-only excludes them.
_CHANGING = ["run_shell_command", "write_file", "replace"]


def call(inputs: CallInputs) -> AgentCall:
    config = inputs.control / "gemini"
    user_config = Path(inputs.environ.get("GEMINI_CLI_HOME") or inputs.user_home) / ".gemini"
    argv = [
        *inputs.command,
        "--approval-mode",
        "default" if inputs.in_terminal else _MODES[inputs.policy],
    ]
    argv += [] if inputs.in_terminal else ["-o", "stream-json"]
    if inputs.model:
        argv += ["-m", inputs.model]
    if inputs.resume:
        argv += ["--resume", inputs.resume]
    # Let a planner read the project, which is outside the planner's working directory.
    if inputs.schema and inputs.project:
        argv += ["--include-directories", inputs.project]
    settings = json.dumps(_settings(inputs, user_config))
    files = (*_LOGIN_FILES, *((_SERVER_LOGIN,) if "mcp" in inputs.inherit else ()))
    return AgentCall(
        argv=tuple(argv),
        reader="gemini",
        env={"GEMINI_CLI_HOME": str(config), **shell_environment(inputs)},
        files={config / ".gemini" / "settings.json": settings, **shell_files(inputs)},
        links=session_links(inputs, config / ".gemini" / "tmp", "gemini"),
        session=SessionFile(config / ".gemini" / "tmp", "*/chats/*.jsonl"),
        resumes=bool(inputs.resume),
        logins=tuple(
            AgentLogin(source=user_config / name, target=config / ".gemini" / name)
            for name in files
        ),
        inherited=_inherited(inputs, config, user_config),
    )


def _settings(inputs: CallInputs, user_config: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "security": {"auth": {"selectedType": _login_method(inputs.environ, user_config)}},
        "general": {
            "disableAutoUpdate": True,
            "disableUpdateNag": True,
            "enableAutoUpdate": False,
            "maxAttempts": _ATTEMPTS,
        },
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
    }
    # For a resumed session, Gemini may also count the turns of earlier runs, so only the driver
    # enforces the limit.
    if inputs.limits.max_steps is not None and not inputs.resume:
        settings["model"] = {"maxSessionTurns": inputs.limits.max_steps + _SPARE_TURNS}
    settings["tools"] = {
        **_allowed_tools(inputs.policy),
        "shell": {"inactivityTimeout": COMMAND_SECONDS},
    }
    user_settings = json_object(user_config / "settings.json") if inputs.inherit else {}
    servers: dict[str, Mapping[str, Any]] = {
        # Without trust, Gemini would ask a person before each call.
        name: {**server, "trust": True}
        for name, server in inherited_servers(inputs, user_settings.get("mcpServers")).items()
    }
    if inputs.recursive:
        servers[OWN_SERVER] = _mcp(inputs)
    if servers:
        settings["mcpServers"] = servers
    if "hooks" in inputs.inherit:
        settings |= select_keys(user_settings, ("hooks", "hooksConfig"))
    if "memory" in inputs.inherit and (names := _memory_names(user_settings)):
        settings["context"] = {"fileName": names}
    return settings


def _memory_names(user_settings: Mapping[str, Any]) -> list[str]:
    names = as_mapping(user_settings.get("context")).get("fileName") or []
    return [str(name) for name in ([names] if isinstance(names, str) else names)]


def _inherited(inputs: CallInputs, config: Path, user_config: Path) -> dict[Path, Path]:
    links: dict[Path, Path] = {}
    if "memory" in inputs.inherit:
        names = _memory_names(json_object(user_config / "settings.json")) or [_MEMORY]
        links = {config / ".gemini" / name: user_config / name for name in names}
    if "skills" in inputs.inherit:
        links[config / ".gemini" / "skills"] = user_config / "skills"
        links[config / ".agents" / "skills"] = user_config.parent / ".agents" / "skills"
    return links


def _allowed_tools(policy: str) -> dict[str, Any]:
    if policy == "read-only":
        return {"exclude": _CHANGING}
    # The mode auto_edit would ask a person before each command.
    return {"allowed": ["run_shell_command"]} if policy == "edit" else {}


def _login_method(environ: Mapping[str, str], user_config: Path) -> str:
    """Return the login method that Gemini must use, such as ``vertex-ai``."""
    if environ.get("GEMINI_API_KEY"):
        return "gemini-api-key"
    if environ.get("GOOGLE_API_KEY") or environ.get("GOOGLE_GENAI_USE_VERTEXAI"):
        return "vertex-ai"
    settings = json_object(user_config / "settings.json")
    chosen: object = settings.get("selectedAuthType")
    for name in ("security", "auth", "selectedType"):
        settings = settings.get(name, {}) if isinstance(settings, Mapping) else {}
    chosen = settings or chosen
    if isinstance(chosen, str):
        return chosen
    return "oauth-personal" if (user_config / "oauth_creds.json").exists() else "gemini-api-key"


def _mcp(inputs: CallInputs) -> dict[str, Any]:
    program, arguments = mcp_command(inputs)
    return {
        "command": program,
        "args": arguments,
        "env": mcp_environment(inputs),
        "trust": True,
        "timeout": 120_000,
    }
