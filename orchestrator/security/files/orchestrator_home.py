"""The home: the directory with config.yaml, the workspace, and logs.

For the portable folder, the home is the folder itself. For an installed package, the home is
``--home`` or ``ORCHESTRATOR_HOME``, otherwise ``.orchestrator/local`` of the project.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from orchestrator import IS_INSTALLED
from orchestrator.core.errors import ConfigError
from orchestrator.security.files.product_files import FOLDER

VARIABLE = "ORCHESTRATOR_HOME"
#: Path of the home below the project.
LOCAL = (".orchestrator", "local")


def home_here(environ: Mapping[str, str]) -> Path:
    """Return the home for a command that starts in the current directory. Creates no files."""
    if not IS_INSTALLED:
        return FOLDER
    if home := environ.get(VARIABLE):
        return Path(os.path.abspath(os.path.expanduser(home)))
    here = current_directory()
    for directory in (here, *here.parents):
        if is_local(directory) and (directory / "config.yaml").is_file():
            return directory
    return local_home(project_at(here))


def local_home(project: Path) -> Path:
    return project.joinpath(*LOCAL)


def is_local(home: Path) -> bool:
    return home.parts[-2:] == LOCAL


def is_home(folder: Path, environ: Mapping[str, str]) -> bool:
    """True if ``folder`` is the home of an installed package. False for the portable folder."""
    home = environ.get(VARIABLE)
    return folder != FOLDER and (is_local(folder) or bool(home and Path(home) == folder))


def project_at(directory: Path) -> Path:
    """Return the top directory of the git repository that contains ``directory``.

    Outside of a repository, return the nearest directory that has a home: ``directory`` itself, or
    one of its parent directories. If none of them has a home, return ``directory``.
    """
    directories = (directory, *directory.parents)
    top = next((each for each in directories if is_repository(each)), None)
    with_home = (each for each in directories if (local_home(each) / "config.yaml").is_file())
    return top or next(with_home, directory)


def is_repository(directory: Path) -> bool:
    """True if ``directory`` is the top directory of a clone or of a linked worktree.

    As in git, an empty ``.git`` is ignored.
    """
    git = directory / ".git"
    try:
        return git.is_file() or (git / "HEAD").exists()
    except OSError:
        return False


def check_private(home: Path) -> None:
    """Raise ConfigError if the home may come from another user or from a clone of a repository.

    Such a home is dangerous, because its settings can start programs. Mode 700 shows that the home
    is not part of a clone, because git creates no directories with this mode.
    """
    try:
        status = home.lstat()
    except OSError:
        return
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{home} is not a directory; remove it, or name another: --home DIR")
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ConfigError(
            f"{home} is open to other users, or was not created by this command; its settings can "
            f"start programs; if you trust the settings: chmod 700 {home}"
        )


def current_directory() -> Path:
    try:
        return Path.cwd()
    except OSError:
        return Path("/")
