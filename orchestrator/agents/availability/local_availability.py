"""Availability of the known agents on this machine, and the steps that make an agent available.

Runs no program.
"""

import json
import os
import re
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.job import PLANNER, TaskSpec
from orchestrator.core.model.known_agents import KnownTool
from orchestrator.core.model.machines import AGENT_NOT_USABLE
from orchestrator.core.ports.agent_availability import Availability, Login
from orchestrator.core.ports.agents import COMMAND_WITHOUT_SHELL

#: Seconds for which an available agent counts as available without another check.
FRESH_SECONDS = 60.0
#: Seconds for which a missing agent counts as missing without another check: few, because the user
#: may be installing the agent.
MISSING_SECONDS = 2.0
_ASK_SECONDS = 0.5
#: Suffixes of Windows programs, and of scripts that npm creates.
_WINDOWS_ENDS = (".exe", ".cmd", ".ps1", ".bat")
WINDOWS_LOGIN = "the tool's login on Windows"
#: Values that switch off a service.
OFF = ("0", "false", "no", "off")
#: Matches ``{VARIABLE:default}`` at the beginning of a login file's path.
VARIABLE_OF_PATTERN = re.compile(r"^\{(\w+):([^}]*)\}")


def program_argv(command: str) -> tuple[str, ...]:
    """Return the words of a command from the settings: a program, possibly with arguments.

    A command with an unclosed quote is one word, which names no program.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError:
        words = ()
    return (command,) if shutil.which(command) or not words else words


def tool_availability(
    tool: KnownTool,
    command: str,
    environ: Mapping[str, str],
    *,
    windows: bool = False,
    inherit: tuple[str, ...] = (),
) -> Availability:
    """Return an agent's availability: whether its program and its credential exist.

    ``windows``: search for the program on the Windows side of WSL.
    """
    path, is_on_windows = "", windows and bool(tool.program)
    program = program_argv(command)[0] if tool.program else ""
    if program:
        path = _program_path(program, environ, windows)
    installed = bool(path) or not tool.program
    # Assume that a login on the Windows side exists, because only the tool can find that login.
    credential = _credential(tool, environ) or (WINDOWS_LOGIN if is_on_windows else "")
    correction = f"correct orchestrator.{tool.command_setting} in config.yaml"
    fix = [] if installed else [tool.install if program == tool.program else correction]
    fix += [] if credential else [tool.login]
    return Availability(
        name=tool.name,
        description=tool.description,
        command=program,
        path=path,
        version=installed_version(path) if path else "",
        installed=installed,
        credential=credential,
        authenticated=bool(credential),
        login=_login_state(tool, credential),
        fix=tuple(filter(None, fix)),
        inherit=inherit,
    )


def _login_state(tool: KnownTool, credential: str) -> Login:
    # "unknown": only a call to the agent's service can check the login.
    if not credential:
        return "no"
    return "unknown" if needs_login(tool) else "yes"


def needs_login(tool: KnownTool) -> bool:
    return bool(tool.credentials or tool.logins)


def installed_version(path: str) -> str:
    for folder in Path(os.path.realpath(path)).parents:
        if folder.parent.name == "node_modules" or folder.parent.name.startswith("@"):
            try:
                document = json.loads((folder / "package.json").read_text(encoding="utf-8"))
                return str(document["version"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                return ""
    return ""


def _program_path(name: str, environ: Mapping[str, str], windows: bool) -> str:
    # In WSL, PATH also has the Windows directories. A program on the Windows side has a suffix.
    is_complete = not windows or name.lower().endswith(_WINDOWS_ENDS)
    names = [name] if is_complete else [f"{name}{end}" for end in _WINDOWS_ENDS]
    paths = (shutil.which(each, path=environ.get("PATH")) for each in names)
    return next(filter(None, paths), "")


def _credential(tool: KnownTool, environ: Mapping[str, str]) -> str:
    for name in tool.credentials:
        if environ.get(name) and _reaches_its_service(tool.services.get(name), name, environ):
            return name
    for pattern in tool.logins:
        path = login_path(pattern, environ)
        if _has_content(path):
            return str(path)
    if tool.local_url:
        url = local_url(tool, environ)
        return url if local_models(url) else ""
    return ""


def _reaches_its_service(
    credentials: Sequence[str] | None, name: str, environ: Mapping[str, str]
) -> bool:
    """True if the agent has a credential, because the variable ``name`` is set.

    ``credentials``: None if the variable ``name`` is itself a credential; the result is then True.
    Otherwise, the variable selects a service, and ``credentials`` has the variables and login files
    for this service. The result is then True if at least one of these variables or files exists,
    and the value of ``name`` does not switch the service off.
    """
    if credentials is None:
        return True
    if environ[name].lower() in OFF:
        return False
    files = (login_path(each, environ) for each in credentials if each.startswith("{"))
    return any(environ.get(each) for each in credentials) or any(map(_has_content, files))


def credential_fingerprint(tool: KnownTool, environ: Mapping[str, str]) -> str:
    """Return a text that changes when one of the agent's login files changes."""
    return " ".join(_file_fingerprint(login_path(pattern, environ)) for pattern in tool.logins)


def _file_fingerprint(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "-"
    return f"{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"


def login_path(pattern: str, environ: Mapping[str, str]) -> Path:
    """Return the path of a login file.

    ``pattern`` is ``{VARIABLE:default}/file``: the directory is the variable's value, or the
    default.
    """
    home = environ.get("HOME") or "/nonexistent"

    def directory(match: re.Match[str]) -> str:
        return environ.get(match[1]) or match[2].replace("~", home, 1)

    return Path(VARIABLE_OF_PATTERN.sub(directory, pattern))


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 2 and os.access(path, os.R_OK)
    except OSError:
        return False


def local_url(tool: KnownTool, environ: Mapping[str, str]) -> str:
    """Return the address of a service on this machine.

    A variable such as OLLAMA_HOST may set the address, as ``host:port`` or a URL.
    """
    host = environ.get(f"{tool.name.upper()}_HOST", "")
    if not host:
        return tool.local_url
    url = host if "://" in host else f"http://{host}"
    return url.replace("//0.0.0.0", "//127.0.0.1").rstrip("/")


def local_models(url: str) -> Sequence[str]:
    """Return the names of a local service's models; empty if the service does not answer."""
    try:
        with urlopen(f"{url}/api/tags", timeout=_ASK_SECONDS) as answer:
            document = json.loads(answer.read(1 << 20))
        return [str(each["name"]) for each in document["models"]]
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return []


class AvailabilityCache:
    """Caches the availability of an agent for up to a minute. Any thread may call."""

    def __init__(
        self, check: Callable[[], Availability], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: Availability | None = None
        self._until = 0.0

    def __call__(self) -> Availability:
        with self._lock:
            if self._cached is None or self._clock() >= self._until:
                self._cached = self._check()
                seconds = FRESH_SECONDS if self._cached.works_here else MISSING_SECONDS
                self._until = self._clock() + seconds
            return self._cached


def check_fits(task: TaskSpec, agent: str, hindrance: str) -> None:
    """Raise InvalidRequest if the agent cannot run the task.

    ``hindrance``: why the agent cannot work; "" if it can.
    """
    if task.command:
        raise InvalidRequest(
            f"task {task.id!r} has a command, but agent {agent!r} cannot run commands; use agent "
            "'shell', or remove the command",
            kind=COMMAND_WITHOUT_SHELL,
        )
    if hindrance:
        # Omit the id of a planner's task, because the caller has never seen this id.
        prefix = "" if task.id == PLANNER else f"task {task.id!r}: "
        raise InvalidRequest(
            f"{prefix}agent {agent!r} is not available: {hindrance}", kind=AGENT_NOT_USABLE
        )


def program_availability(
    name: str, description: str, program: str, bin: str, environ: Mapping[str, str]
) -> Availability:
    """Return the availability of an agent that the settings define.

    ``bin``: the directory with orchestrator's own commands.
    """
    # Assume that a program with a relative path exists, because this check cannot search the
    # worker's directory.
    relative = "/" in program and not os.path.isabs(program)
    path = os.pathsep.join((bin, environ.get("PATH") or os.defpath))
    installed = relative or shutil.which(program, path=path) is not None
    return Availability(
        name=name,
        description=description,
        command=program,
        installed=installed,
        fix=() if installed else (f"install it, or set agents.{name}.command in config.yaml",),
    )
