"""opencode.

It installs packages into a fresh home, up to 99 MB: its attempts share one, and each is told its
own settings by a variable. It makes a database there when it first starts.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.agents.tools.call import Ask, Call, Home, Login, mcp_command, mcp_environment
from orchestrator.agents.tools.shells import shell_environment, shell_files
from orchestrator.agents.tools.user_files import json_object, kept

_ACCOUNT = ("provider", "model", "small_model", "enabled_providers", "disabled_providers")
_HOMES = {
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "XDG_CACHE_HOME": "cache",
}
#: There is nobody to ask: what it would ask about is allowed, or refused.
_PERMISSIONS: Mapping[str, Mapping[str, str]] = {
    "full": {"*": "allow"},
    "edit": {"*": "allow", "external_directory": "deny"},
    "read-only": {"*": "allow", "edit": "deny", "bash": "deny", "external_directory": "deny"},
}
_SETTINGS = "OPENCODE_CONFIG_CONTENT"


def call(ask: Ask) -> Call:
    data = Path(ask.environ.get("XDG_DATA_HOME") or ask.user_home / ".local" / "share")
    # What it tries again by itself it tells in its log only.
    argv = [*ask.command, "run", "--format", "json", "--print-logs", "--log-level", "ERROR"]
    if ask.model:
        argv += ["-m", ask.model]
    homes = {name: str(ask.shared / directory) for name, directory in _HOMES.items()}
    target = ask.shared / "data" / "opencode" / "auth.json"
    return Call(
        argv=tuple(argv),
        reader="opencode",
        env={**homes, _SETTINGS: json.dumps(_settings(ask)), **shell_environment(ask)},
        files=shell_files(ask),
        logins=(Login(source=data / "opencode" / "auth.json", target=target),),
        home=_home(ask),
    )


def _home(ask: Ask) -> Home | None:
    """Any command makes the database; this one looks at nothing else."""
    argv = (*ask.command, "session", "list")
    return Home(directory=ask.shared, argv=argv) if ask.shared != ask.control else None


def _settings(ask: Ask) -> dict[str, Any]:
    own = Path(ask.environ.get("XDG_CONFIG_HOME") or ask.user_home / ".config") / "opencode"
    settings = {
        **kept(json_object(own / "opencode.json"), _ACCOUNT),
        **_given(ask.environ),
        "permission": _permissions(ask),
        "autoupdate": False,
        "share": "disabled",
    }
    if ask.recursive:
        settings["mcp"] = {"orchestrator": _mcp(ask)}
    return settings


def _permissions(ask: Ask) -> Mapping[str, str]:
    # The project that a planner looks at is elsewhere than it works.
    more = {"external_directory": "allow"} if ask.schema else {}
    return {**_PERMISSIONS[ask.policy], **more}


def _given(environ: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        found = json.loads(environ.get(_SETTINGS, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _mcp(ask: Ask) -> dict[str, Any]:
    program, arguments = mcp_command(ask)
    return {
        "type": "local",
        "command": [program, *arguments],
        "environment": mcp_environment(ask),
        "enabled": True,
    }
