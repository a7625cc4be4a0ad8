"""Finds the project directory: the first rule that fits (README, Which project)."""

import os
import pwd
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.config.settings import Settings
from orchestrator.core.errors import ConfigError

#: Directories that everybody on the machine uses.
SHARED_TEMPORARY = ("/tmp", "/var/tmp")
#: Whose entries are home directories, beside those that the user database names.
HOMES = ("/home", "/Users")


class ProjectUnknown(ConfigError):
    """No rule says which directory is the project."""

    kind = "project"


@dataclass(frozen=True, slots=True)
class Project:
    """A directory, and the rule by which it is the project."""

    root: Path
    why: str


def project_root(settings: Settings, folder: Path) -> Path:
    """The host project of the product in ``folder``. Raise ProjectUnknown."""
    return project_of(settings, folder).root


def project_of(
    settings: Settings, folder: Path, environ: Mapping[str, str] = os.environ
) -> Project:
    """The host project of the product in ``folder``, with the rule. Raise ProjectUnknown."""
    configured = settings.orchestrator.project_root
    if configured is not None:
        return Project(configured, "--project or orchestrator.project_root names it")
    folder = folder.resolve()
    parent = folder.parent
    if any(map(_is_repository, (parent, *parent.parents))):
        return Project(parent, "the folder's parent is in a git repository")
    beside = _Beside.of(folder)
    if reason := _unfit(parent, beside, environ):
        if _is_repository(folder):
            return Project(folder, f"the folder is a clone, and its parent {reason}")
        raise ProjectUnknown(_what_to_type(folder, reason))
    if beside.has_file:
        return Project(parent, "the folder's parent holds files")
    return Project(folder, "the folder's parent holds nothing else")


@dataclass(frozen=True, slots=True)
class _Beside:
    """The other entries of the folder's parent."""

    directories: tuple[Path, ...]
    has_file: bool
    is_readable: bool = True

    @classmethod
    def of(cls, folder: Path) -> "_Beside":
        try:
            found = [each for each in os.scandir(folder.parent) if each.name != folder.name]
        except OSError:
            return cls((), False, is_readable=False)
        directories = tuple(Path(each.path) for each in found if each.is_dir())
        return cls(directories, len(directories) < len(found))


def _unfit(parent: Path, beside: _Beside, environ: Mapping[str, str]) -> str:
    """Why the folder's parent is no project; empty if it may be one."""
    reasons: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("is /", lambda: parent == parent.parent),
        ("is a home directory", lambda: _is_home(parent, environ)),
        ("is a temporary directory", lambda: _is_temporary(parent, environ)),
        ("cannot be read", lambda: not beside.is_readable),
        ("holds other repositories", lambda: any(map(_is_repository, beside.directories))),
        ("holds only directories", lambda: bool(beside.directories) and not beside.has_file),
    )
    return next((reason for reason, holds in reasons if holds()), "")


def _is_repository(directory: Path) -> bool:
    """Return True for the top of a clone or of a linked worktree, whose ``.git`` is a file.

    As in git, an empty ``.git`` is ignored.
    """
    git = directory / ".git"
    try:
        return git.is_file() or (git / "HEAD").exists()
    except OSError:
        return False


def _is_home(parent: Path, environ: Mapping[str, str]) -> bool:
    if str(parent.parent) in HOMES or str(parent) == "/root":
        return True
    try:
        own = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container's user may have no entry
        own = ""
    return _is_any_of(parent, (own, environ.get("HOME", "")))


def _is_temporary(parent: Path, environ: Mapping[str, str]) -> bool:
    named = (environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP"))
    return _is_any_of(parent, (*SHARED_TEMPORARY, *named))


def _is_any_of(directory: Path, others: Iterable[str]) -> bool:
    return any(os.path.realpath(each) == str(directory) for each in others if each)


def _what_to_type(folder: Path, reason: str) -> str:
    start = shlex.quote(str(folder / "quick-start.sh"))
    return (
        f"unknown project: {folder.parent} {reason}, and {folder} is not a git clone; type one of\n"
        f'  {start} --project /path/to/project "..."\n'
        f"  export ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT=/path/to/project\n"
        f"  mv {shlex.quote(str(folder))} /path/to/project/"
    )
