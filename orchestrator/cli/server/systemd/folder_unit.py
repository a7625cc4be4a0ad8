"""Builds the systemd unit of a folder's server, from the settings and the server's user."""

import os
import pwd
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator import IS_INSTALLED
from orchestrator.cli.command_context import PROJECT_VARIABLE, CliContext
from orchestrator.cli.server.systemd.unit import Unit
from orchestrator.core.errors import InvalidRequest, NotFound
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files import orchestrator_home
from orchestrator.security.files.product_files import FOLDER

#: Environment variable with the path of the Python interpreter, for a folder without ``.venv``.
PYTHON_VARIABLE = "ORCHESTRATOR_PYTHON"
PREFIX = "ORCHESTRATOR_"

#: Subdirectories of a user's home directory in which workers' tools store files that they can
#: create again.
CACHES = (
    *(".cache", ".npm", ".cargo/registry", ".cargo/git", "go/pkg"),
    *(".gradle/caches", ".m2/repository"),
)
#: Subdirectories of a user's home directory in which users install programs.
PROGRAMS = (".local/bin", "bin")


@dataclass(frozen=True, kw_only=True)
class Account:
    name: str
    uid: int
    home: Path

    @classmethod
    def named(cls, name: str) -> "Account":
        """Return the user with the name ``name``. Raise NotFound if there is no such user."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise NotFound(f"no user {name!r} on this machine; create the user first") from None
        return cls(name=entry.pw_name, uid=entry.pw_uid, home=Path(entry.pw_dir))

    @classmethod
    def owner_of(cls, directory: Path) -> "Account":
        """Return the user who owns a directory. Raise NotFound if the owner has no user name."""
        uid = directory.stat().st_uid
        try:
            return cls.named(pwd.getpwuid(uid).pw_name)
        except KeyError:
            raise NotFound(
                f"{directory} belongs to user {uid}, who has no name on this machine; give the "
                f"directory to a user: sudo chown -R USER: {shlex.quote(str(directory))}"
            ) from None


def unit_of(
    context: CliContext,
    account: Account,
    *,
    for_user: bool,
    has_user_namespace: bool,
    systemd_version: int,
) -> Unit:
    """Return the unit that runs the home's server as the user ``account``.

    ``for_user``: True if the unit is for the service manager of the user, False if it is for the
    service manager of the machine. ``has_user_namespace``: True if the user's service manager can
    start services in user namespaces. ``systemd_version``: 0 if the version is unknown. Raise
    ConfigError for settings that a server would reject.
    """
    from orchestrator.composition.settings.repository import repository_of
    from orchestrator.config import load, project_root

    folder = context.folder
    settings = load(folder, environ=context.environ).settings
    project = project_root(settings, folder)
    limits = settings.workers.limits
    workspace, logs = settings.orchestrator.workspace_root, settings.logging.log_dir
    written_directories = [folder, workspace, logs, project]
    written_directories += map(Path, repository_of(folder, settings, workspace).directories())
    writable = list(_outermost(each.resolve() for each in written_directories))
    private_tmp = not any(map(_is_temporary, [*writable, FOLDER]))
    return Unit(
        command=[*entry_point(context), "serve"],
        folder=folder,
        project=project,
        environment=_environment(context, account),
        environment_file="%E/orchestrator.env",
        user="" if for_user else account.name,
        writable=writable,
        writable_if_present=_tool_directories(account, writable),
        private_tmp=private_tmp,
        has_user_namespace=has_user_namespace,
        systemd_version=systemd_version,
        has_limits=any((limits.cpu, limits.memory, limits.processes)),
    )


def entry_point(context: CliContext) -> list[str]:
    """Return the command that runs this program with the same home, from any directory."""
    script = FOLDER / "bin" / "orchestrator"
    if IS_INSTALLED:
        script = Path(sys.executable).with_name("orchestrator")
    program = [str(script)]
    if not script.is_file():
        program = [sys.executable, "-P", "-m", "orchestrator"]
    if orchestrator_home.is_home(context.folder, context.environ):
        program += ["--home", str(context.folder)]
    return program


def variables_not_in_unit(environ: Mapping[str, str]) -> list[str]:
    """Return the variables in ``environ`` that are settings, but are not set by the unit."""
    in_unit = {orchestrator_home.VARIABLE, PYTHON_VARIABLE, PROJECT_VARIABLE}
    return sorted(each for each in environ if each.startswith(PREFIX) and each not in in_unit)


def _environment(context: CliContext, account: Account) -> dict[str, str]:
    variables = {"PATH": _search_path(context.environ, account)}
    if not IS_INSTALLED and not (FOLDER / ".venv").exists():
        variables[PYTHON_VARIABLE] = sys.executable
    if project := context.environ.get(PROJECT_VARIABLE):
        variables[PROJECT_VARIABLE] = project
    return variables


def _search_path(environ: Mapping[str, str], account: Account) -> str:
    # Systemd's own PATH has few directories, so workers would not find AI tools.
    directories = environ.get("PATH", os.defpath).split(os.pathsep)
    if account.uid != os.getuid():
        # The caller is root, whose PATH lacks the user's programs.
        program_directories = (account.home / each for each in PROGRAMS)
        directories = [*(str(each) for each in program_directories if each.is_dir()), *directories]
    return os.pathsep.join(dict.fromkeys(each for each in directories if os.path.isabs(each)))


def _tool_directories(account: Account, writable: list[Path]) -> list[Path]:
    """Return the directories in which AI tools store logins and caches.

    Directories below ``writable`` are omitted.
    """
    from orchestrator.agents.availability.local_availability import login_path
    from orchestrator.core.model.known_agents import KNOWN

    environ = {"HOME": str(account.home)}
    logins = [login_path(each, environ).parent for tool in KNOWN for each in tool.logins]
    caches = [account.home / each for each in CACHES]
    directories = dict.fromkeys(each for each in (*logins, *caches) if each != account.home)
    return [each for each in directories if not any(map(each.is_relative_to, writable))]


def _outermost(paths: Iterator[Path]) -> Iterator[Path]:
    unique = list(dict.fromkeys(paths))
    for path in unique:
        if not any(path != other and path.is_relative_to(other) for other in unique):
            yield path


def _is_temporary(path: Path) -> bool:
    from orchestrator.config.project_discovery import SHARED_TEMPORARY

    return any(path.is_relative_to(each) for each in SHARED_TEMPORARY)


def check_owner(account: Account, workspace: Path) -> None:
    """Raise InvalidRequest if ``account`` cannot write to the workspace."""
    owner = workspace.stat().st_uid
    if account.uid not in (0, owner):
        raise InvalidRequest(
            f"{workspace} belongs to user {owner}, and the service would run as {account.name}; "
            f"type: sudo chown -R {account.name}: {workspace}"
        )
