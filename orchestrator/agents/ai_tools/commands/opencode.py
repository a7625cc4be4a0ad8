"""Creates the call of opencode: its arguments, files, and environment.

All attempts share one home directory, because opencode installs up to 99 MB of packages into a new
home. Each attempt gets its own settings in an environment variable.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.agents.ai_tools.invocation.call import (
    AgentCall,
    AgentHome,
    AgentLogin,
    CallInputs,
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

_ACCOUNT = ("provider", "model", "small_model", "enabled_providers", "disabled_providers")
#: Keys of the user's configuration that are not copied with the other keys. An attempt gets MCP
#: servers, skills, and instructions only if it inherits them, and it never gets plugins.
_ADDITIONS = ("mcp", "skills", "instructions", "plugin")
_HOMES = {
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "XDG_CACHE_HOME": "cache",
}
#: Permissions by policy if no person can answer: each action is allowed or denied.
_PERMISSIONS: Mapping[str, Mapping[str, str]] = {
    "full": {"*": "allow"},
    "edit": {"*": "allow", "external_directory": "deny"},
    "read-only": {"*": "allow", "edit": "deny", "bash": "deny", "external_directory": "deny"},
}
#: Permissions if a person can answer.
_ASKING: Mapping[str, str] = {"edit": "ask", "bash": "ask", "external_directory": "ask"}
_SETTINGS = "OPENCODE_CONFIG_CONTENT"


def call(inputs: CallInputs) -> AgentCall:
    data = Path(inputs.environ.get("XDG_DATA_HOME") or inputs.user_home / ".local" / "share")
    # Print the log, because opencode reports its automatic retries only there.
    options = ("run", "--format", "json", "--print-logs", "--log-level", "ERROR")
    argv = [*inputs.command, *(() if inputs.in_terminal else options)]
    if inputs.model:
        argv += ["-m", inputs.model]
    if inputs.resume:
        argv += ["--session", inputs.resume]
    homes = {name: str(inputs.shared / directory) for name, directory in _HOMES.items()}
    names = ("auth.json", *(("mcp-auth.json",) if "mcp" in inputs.inherit else ()))
    target = inputs.shared / "data" / "opencode"
    return AgentCall(
        argv=tuple(argv),
        reader="opencode",
        env={
            **homes,
            # opencode also searches its home directory for configuration, skills, and memory. This
            # variable replaces the user's home directory.
            "OPENCODE_TEST_HOME": str(inputs.shared / "home"),
            # Without this variable, opencode uses the database in the shared home.
            **({"OPENCODE_DB": str(inputs.sessions / "opencode.db")} if inputs.sessions else {}),
            _SETTINGS: json.dumps(_settings(inputs)),
            **shell_environment(inputs),
        },
        files=shell_files(inputs),
        logins=tuple(
            AgentLogin(source=data / "opencode" / name, target=target / name) for name in names
        ),
        home=_shared_home(inputs),
        resumes=bool(inputs.resume),
    )


def _shared_home(inputs: CallInputs) -> AgentHome | None:
    """Return the shared home, with the command that creates its database.

    The result is None if the attempt does not share a home.
    """
    argv = (*inputs.command, "session", "list")
    return (
        AgentHome(directory=inputs.shared, argv=argv) if inputs.shared != inputs.control else None
    )


def _settings(inputs: CallInputs) -> dict[str, Any]:
    user_config = (
        Path(inputs.environ.get("XDG_CONFIG_HOME") or inputs.user_home / ".config") / "opencode"
    )
    environ_settings = _environ_settings(inputs.environ)
    user_settings = {**json_object(user_config / "opencode.json"), **environ_settings}
    settings = {
        **select_keys(user_settings, _ACCOUNT),
        **{name: value for name, value in environ_settings.items() if name not in _ADDITIONS},
        "permission": _permissions(inputs),
        "autoupdate": False,
        "share": "disabled",
    }
    servers = inherited_servers(inputs, user_settings.get("mcp"))
    if inputs.recursive:
        servers[OWN_SERVER] = _mcp(inputs)
    if servers:
        settings["mcp"] = servers
    if "memory" in inputs.inherit:
        settings["instructions"] = _instruction_files(inputs, user_config, user_settings)
    if "skills" in inputs.inherit:
        settings["skills"] = {"paths": _skills(inputs, user_config, user_settings)}
    return settings


def _instruction_files(
    inputs: CallInputs, user_config: Path, user_settings: Mapping[str, Any]
) -> list[str]:
    """Return the files with the user's instructions.

    As in opencode, CLAUDE.md is used only if there is no AGENTS.md.
    """
    files = (user_config / "AGENTS.md", inputs.user_home / ".claude" / "CLAUDE.md")
    memory_file = next((str(path) for path in files if path.is_file()), None)
    instructions = user_settings.get("instructions")
    return [*([memory_file] if memory_file else []), *_with_home(inputs, instructions)]


def _skills(inputs: CallInputs, user_config: Path, user_settings: Mapping[str, Any]) -> list[str]:
    home = inputs.user_home
    directories = (user_config / "skills", user_config / "skill", home / ".opencode" / "skills")
    other_directories = (home / ".claude" / "skills", home / ".agents" / "skills")
    paths = as_mapping(user_settings.get("skills")).get("paths")
    return [
        *(str(path) for path in (*directories, *other_directories) if path.is_dir()),
        *_with_home(inputs, paths),
    ]


def _with_home(inputs: CallInputs, paths: object) -> list[str]:
    # Replace ``~`` here, because opencode itself would replace it by the shared home.
    entries = paths if isinstance(paths, list) else []
    return [
        str(inputs.user_home / path[2:]) if path.startswith("~/") else path
        for path in map(str, entries)
    ]


def _permissions(inputs: CallInputs) -> Mapping[str, str]:
    if inputs.in_terminal:
        return _ASKING
    # Let a planner read the project, which is outside the planner's working directory.
    additions = {"external_directory": "allow"} if inputs.schema else {}
    return {**_PERMISSIONS[inputs.policy], **additions}


def _environ_settings(environ: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        settings = json.loads(environ.get(_SETTINGS, "{}"))
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _mcp(inputs: CallInputs) -> dict[str, Any]:
    program, arguments = mcp_command(inputs)
    return {
        "type": "local",
        "command": [program, *arguments],
        "environment": mcp_environment(inputs),
        "enabled": True,
    }
