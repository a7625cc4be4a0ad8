"""Creates the call of OpenAI Codex: its arguments, files, and environment.

Codex gets its settings in ``config.toml`` of a private CODEX_HOME, not as arguments. The settings
contain the worker's key for orchestrator's MCP server, and every user of the machine can read
arguments.
"""

import json
import tempfile
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
from orchestrator.agents.ai_tools.invocation.user_config import (
    as_mapping,
    json_object,
    select_keys,
    toml_table,
)

OPENAI_URL = "https://api.openai.com/v1"
_OWN_PROVIDER = "orchestrator"
#: Keys of the user's configuration that belong to the login, or select a model.
_ACCOUNT = (
    *("model", "model_provider", "model_providers", "model_reasoning_effort"),
    *("cli_auth_credentials_store", "forced_login_method", "chatgpt_base_url"),
)
#: Maximum retries of a request, and of a broken answer stream. Codex' defaults are 4 and 5, which
#: make 30 calls for a failing request.
_RETRIES = {"request_max_retries": 1, "stream_max_retries": 2}
_OWN_KEYS = ("OPENAI_API_KEY", "CODEX_API_KEY")


def call(inputs: CallInputs) -> AgentCall:
    config = inputs.control / "codex"
    user_config = Path(inputs.environ.get("CODEX_HOME") or inputs.user_home / ".codex")
    login = AgentLogin(source=user_config / "auth.json", target=config / "auth.json")
    argv = [*inputs.command, "exec", "--json", "--skip-git-repo-check", *_policy(inputs)]
    if inputs.model:
        argv += ["-m", inputs.model]
    schema = config / "answer.schema.json"
    if inputs.schema:
        argv += ["--output-schema", str(schema)]
    if inputs.resume:
        argv += ["resume", inputs.resume]
    user_settings = toml_table(user_config / "config.toml")
    settings = _settings(inputs, user_settings, login.source.exists())
    settings |= _user_additions(inputs, user_settings, config, user_config)
    return AgentCall(
        argv=(*argv, "-") if not inputs.in_terminal else _resume_command(inputs),
        reader="codex",
        env={"CODEX_HOME": str(config), **_tmpdir(inputs), **shell_environment(inputs)},
        files={
            config / "config.toml": as_toml(settings),
            _temporary_directory(inputs) / ".keep": "",
            **({schema: json.dumps(inputs.schema)} if inputs.schema else {}),
            **_hook_files(inputs, config, user_config),
            **shell_files(inputs),
        },
        logins=(login, *_server_logins(inputs, config, user_config)),
        links=session_links(inputs, config / "sessions", "codex"),
        inherited=_inherited(inputs, config, user_config),
        session=SessionFile(config / "sessions", "*/*/*/rollout-*.jsonl"),
        resumes=bool(inputs.resume),
    )


def _resume_command(inputs: CallInputs) -> tuple[str, ...]:
    options = ("-a", "on-request", "-s", "workspace-write")
    return (
        *inputs.command,
        "resume",
        *options,
        *(("-m", inputs.model) if inputs.model else ()),
        inputs.resume,
    )


def _tmpdir(inputs: CallInputs) -> dict[str, str]:
    # If CODEX_HOME is below the directory for temporary files, Codex sets up no sandbox. Every
    # command then fails without a message.
    directory = Path(inputs.environ.get("TMPDIR") or tempfile.gettempdir())
    inside = inputs.control.resolve().is_relative_to(directory.resolve())
    return {"TMPDIR": str(_temporary_directory(inputs))} if inside else {}


def _temporary_directory(inputs: CallInputs) -> Path:
    return inputs.control / "tmp"


def _policy(inputs: CallInputs) -> list[str]:
    if inputs.policy == "full":
        return ["--dangerously-bypass-approvals-and-sandbox"]
    return ["-s", "workspace-write" if inputs.policy == "edit" else "read-only"]


def _settings(
    inputs: CallInputs, user_settings: Mapping[str, Any], logged_in: bool
) -> dict[str, Any]:
    settings: dict[str, Any] = {
        **select_keys(user_settings, _ACCOUNT),
        "approval_policy": "never",
        "check_for_update_on_startup": False,
        "analytics": {"enabled": False},
        "history": {"persistence": "none"},
    }
    # Codex' sandbox blocks the network by default. The worker could then not call the orchestrator
    # server.
    if inputs.policy == "edit":
        settings["sandbox_workspace_write"] = {"network_access": True}
    provider = _provider(inputs, logged_in)
    if provider:
        settings["model_provider"] = _OWN_PROVIDER
        settings["model_providers"] = {
            **settings.get("model_providers", {}),
            _OWN_PROVIDER: provider,
        }
    return settings


def _user_additions(
    inputs: CallInputs, user_settings: Mapping[str, Any], config: Path, user_config: Path
) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    servers = {
        # Approve all calls. By default, Codex in its sandbox would ask a person before each call.
        name: {**server, "default_tools_approval_mode": "approve"}
        for name, server in inherited_servers(inputs, user_settings.get("mcp_servers")).items()
    }
    if inputs.recursive:
        servers[OWN_SERVER] = _mcp(inputs)
    if servers:
        settings["mcp_servers"] = servers
    hooks = as_mapping(user_settings.get("hooks")) if "hooks" in inputs.inherit else {}
    if hooks:
        settings["hooks"] = {**hooks, "state": _hook_state(hooks, config, user_config)}
    if "skills" not in inputs.inherit and (foreign := _home_skills(inputs)):
        off = [{"path": str(path), "enabled": False} for path in foreign]
        settings["skills"] = {"config": off}
    return settings


def _hook_state(hooks: Mapping[str, Any], config: Path, user_config: Path) -> dict[str, Any]:
    """Return the user's decisions to allow hooks, with each path changed for the attempt.

    Codex stores each decision under the path of the file that defines the hook. The attempt has
    copies of these files in its directory ``config``. So ``config`` replaces the user's directory
    ``user_config`` in each path.
    """
    prefixes = {f"{prefix}/" for prefix in (user_config, user_config.resolve())}
    return {
        f"{target}/{key.removeprefix(prefix)}": state
        for key, state in as_mapping(hooks.get("state")).items()
        for prefix in prefixes
        if key.startswith(prefix)
        for target in {config, config.resolve()}
    }


def _hook_files(inputs: CallInputs, config: Path, user_config: Path) -> dict[Path, str]:
    hooks = json_object(user_config / "hooks.json") if "hooks" in inputs.inherit else {}
    return {config / "hooks.json": json.dumps(hooks)} if hooks else {}


def _home_skills(inputs: CallInputs) -> list[Path]:
    # Codex reads these skills of the user even with a private CODEX_HOME.
    return sorted(
        path.resolve() for path in (inputs.user_home / ".agents/skills").rglob("SKILL.md")
    )


def _inherited(inputs: CallInputs, config: Path, user_config: Path) -> dict[Path, Path]:
    names: list[str] = []
    if "memory" in inputs.inherit:
        names += ("AGENTS.md", "AGENTS.override.md")
    if "skills" in inputs.inherit:
        # Skip names that begin with a dot: Codex puts its own skills into such a directory.
        names += (
            f"skills/{path.parent.name}" for path in (user_config / "skills").glob("[!.]*/SKILL.md")
        )
    return {config / name: user_config / name for name in names}


def _server_logins(inputs: CallInputs, config: Path, user_config: Path) -> tuple[AgentLogin, ...]:
    name = ".credentials.json"
    login = AgentLogin(source=user_config / name, target=config / name)
    return (login,) if "mcp" in inputs.inherit else ()


def _provider(inputs: CallInputs, logged_in: bool) -> dict[str, Any]:
    """Return the settings of a model provider for the user's base URL or API key.

    The result is empty if Codex can use its default provider.
    """
    url = inputs.environ.get("OPENAI_BASE_URL", "")
    key = next((name for name in _OWN_KEYS if inputs.environ.get(name)), "")
    if not url and (logged_in or not key):
        return {}
    provider = {
        "name": _OWN_PROVIDER,
        "base_url": url or OPENAI_URL,
        "wire_api": "responses",
        **_RETRIES,
    }
    return {**provider, "env_key": key} if key else provider


def _mcp(inputs: CallInputs) -> dict[str, Any]:
    program, arguments = mcp_command(inputs)
    return {
        "command": program,
        "args": arguments,
        "env": mcp_environment(inputs),
        "tool_timeout_sec": 120,
        # Approve all calls. By default, Codex in its sandbox would ask a person before each call.
        "default_tools_approval_mode": "approve",
    }


def as_toml(table: Mapping[str, Any]) -> str:
    lines: list[str] = []
    _write_table(table, (), lines)
    return "\n".join(lines) + "\n"


def _write_table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if path and (values or not table):
        lines.append(f"[{'.'.join(map(_quoted, path))}]")
    lines += [f"{_quoted(key)} = {_toml_value(value)}" for key, value in values.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            _write_table(value, (*path, key), lines)


def _toml_value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(key)} = {_toml_value(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    return _quoted(value) if isinstance(value, str) else json.dumps(value, default=str)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
