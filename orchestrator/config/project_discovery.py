"""Finds the project's directory, by the first rule that applies.

docs/reference/folder.md, section "Which project", lists the rules.
"""

import os
import pwd
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import IS_INSTALLED
from orchestrator.core.errors import ConfigError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.files.orchestrator_home import is_local, is_repository

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings

#: Temporary directories that all users of the machine share.
SHARED_TEMPORARY = ("/tmp", "/var/tmp")
#: Directory of the project's own roles, which are part of the repository.
ROLES = Path(".orchestrator/roles")
#: Directories whose subdirectories count as home directories, even if the user database does not
#: list them.
HOMES = ("/home", "/Users")


class ProjectUnknown(ConfigError):
    """No rule finds the project's directory."""

    kind = "project"


@dataclass(frozen=True, slots=True)
class Project:
    """The project's directory, and the rule that found it."""

    root: Path
    why: str


def project_root(settings: "Settings", folder: Path) -> Path:
    """Return the project's directory. Raise ProjectUnknown if no rule finds it.

    ``folder``: the home, which has config.yaml.
    """
    return project_of(settings, folder).root


def roles_directory(settings: "Settings", folder: Path) -> Path | None:
    """Return the directory of the user's roles.

    Return None if ``workers.roles_dir`` is not set and the project is unknown.
    """
    if settings.workers.roles_dir:
        return settings.workers.roles_dir
    try:
        return project_root(settings, folder) / ROLES
    except ProjectUnknown:
        return None


def project_of(
    settings: "Settings", folder: Path, environ: Mapping[str, str] = os.environ
) -> Project:
    """Return the project, with the rule that found it. Raise ProjectUnknown if no rule finds it.

    ``folder``: the home, which has config.yaml.
    """
    configured = settings.orchestrator.project_root
    if configured is not None:
        return Project(configured, "named by --project or orchestrator.project_root")
    return project_by_location(folder, environ)


def project_by_location(folder: Path, environ: Mapping[str, str] = os.environ) -> Project:
    """Return the project that the location of the home ``folder`` indicates.

    Call this function only if no setting names the project. Raise ProjectUnknown if the location
    indicates no project.
    """
    folder = folder.resolve()
    if is_local(folder):
        return _project_of_home(folder, environ)
    parent = folder.parent
    if any(map(is_repository, (parent, *parent.parents))):
        return Project(parent, "the folder's parent is in a git repository")
    siblings = _Siblings.of(folder)
    if reason := _reason_against(parent, siblings, environ):
        if is_repository(folder):
            return Project(folder, f"the folder is a clone, and its parent {reason}")
        raise ProjectUnknown(_what_to_type(folder, reason))
    if siblings.has_file:
        return Project(parent, "the folder's parent holds files")
    return Project(folder, "the folder's parent contains only the folder")


@dataclass(frozen=True, slots=True)
class _Siblings:
    """The entries of the home's parent directory, except the home."""

    directories: tuple[Path, ...]
    has_file: bool
    is_readable: bool = True

    @classmethod
    def of(cls, folder: Path) -> "_Siblings":
        try:
            entries = [each for each in os.scandir(folder.parent) if each.name != folder.name]
        except OSError:
            return cls((), False, is_readable=False)
        directories = tuple(Path(each.path) for each in entries if each.is_dir())
        return cls(directories, len(directories) < len(entries))


def _reason_against(parent: Path, siblings: _Siblings, environ: Mapping[str, str]) -> str:
    reasons: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("cannot be read", lambda: not siblings.is_readable),
        ("holds other repositories", lambda: any(map(is_repository, siblings.directories))),
        ("holds only directories", lambda: bool(siblings.directories) and not siblings.has_file),
    )
    location_reason = _reason_against_location(parent, environ)
    return location_reason or next((reason for reason, holds in reasons if holds()), "")


def _reason_against_location(parent: Path, environ: Mapping[str, str]) -> str:
    reasons: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("is /", lambda: parent == parent.parent),
        ("is a home directory", lambda: _is_home(parent, environ)),
        ("is a temporary directory", lambda: _is_temporary(parent, environ)),
    )
    return next((reason for reason, holds in reasons if holds()), "")


def _project_of_home(home: Path, environ: Mapping[str, str]) -> Project:
    """Return the project that contains ``home``, the directory ``.orchestrator/local``.

    With the installed package, each project has its own ``.orchestrator/local``. Raise
    ProjectUnknown for /, a home directory of a user, or a temporary directory.
    """
    project = home.parents[1]
    if reason := _reason_against_location(project, environ):
        raise ProjectUnknown(
            f"unknown project: {project} {reason}; type one of these commands:\n  cd "
            f'/path/to/project && {COMMAND} run "..."\n  {COMMAND} run --project '
            '/path/to/project "..."'
        )
    if is_repository(project):
        return Project(project, "the current directory is in this git repository")
    return Project(project, "the current directory is in no git repository")


def _is_home(parent: Path, environ: Mapping[str, str]) -> bool:
    if str(parent.parent) in HOMES or str(parent) == "/root":
        return True
    try:
        own_home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container's user may have no entry
        own_home = ""
    return _is_any_of(parent, (own_home, environ.get("HOME", "")))


def _is_temporary(parent: Path, environ: Mapping[str, str]) -> bool:
    configured = (environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP"))
    return _is_any_of(parent, (*SHARED_TEMPORARY, *configured))


def _is_any_of(directory: Path, others: Iterable[str]) -> bool:
    return any(os.path.realpath(each) == str(directory) for each in others if each)


def _what_to_type(folder: Path, reason: str) -> str:
    if IS_INSTALLED:
        home = shlex.quote(str(folder))
        return f'unknown project; type: {COMMAND} --home {home} run --project DIR "..."'
    start = shlex.quote(str(folder / "quick-start.sh"))
    return (
        f"unknown project: {folder.parent} {reason}, and {folder} is not a git clone; type one of "
        f'these commands:\n  {start} --project /path/to/project "..."\n  export '
        "ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT=/path/to/project\n  mv "
        f"{shlex.quote(str(folder))} /path/to/project/"
    )
