"""The location of the project's repository."""

import os
import shutil
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command import git_config
from orchestrator.git.command.runner import Git
from orchestrator.git.worktrees.pool import WorktreePool
from orchestrator.git.worktrees.worktrees import GitWorktrees, RegisteredWorktree

#: The first version of git that has ``merge-tree --write-tree``.
OLDEST = (2, 38)


@dataclass(frozen=True, slots=True)
class GitLocation:
    top: str
    common: Path
    #: Path of the project in its repository, with a trailing slash; "" if the project is the top.
    prefix: str
    git: Git
    worktrees: GitWorktrees
    spares: WorktreePool

    def complete_worktree(self, directory: str) -> RegisteredWorktree:
        """Return the worktree in ``directory``.

        Raise RepositoryError if the worktree does not exist or is incomplete.
        """
        worktree = self.worktrees.find(directory)
        if worktree is None or not worktree.is_complete:
            raise RepositoryError(f"the worktree {directory} no longer exists or is incomplete")
        return worktree


def location_of(project: Path, workspace: Path) -> GitLocation:
    """Return the location of the project's repository.

    Raise RepositoryError if the project has no repository.
    """
    git = Git(str(project), {})
    top, common, prefix = (
        git.run("rev-parse", "--path-format=absolute", what).line
        for what in ("--show-toplevel", "--git-common-dir", "--show-prefix")
    )
    git = Git(top, {})
    spares = WorktreePool(git, Path(common), workspace)
    return GitLocation(
        top, Path(common), prefix, git, GitWorktrees(git, Path(common), spares), spares
    )


def has_repository(project: Path) -> bool:
    """True if the project has a repository.

    Checks only files, because git may not be installed.
    """
    directory = Path(os.path.abspath(project))
    is_bare = all((directory / each).exists() for each in ("HEAD", "objects", "refs"))
    return is_bare or any(
        os.path.lexists(each / ".git") for each in (directory, *directory.parents)
    )


def check_has_files(git: Git) -> None:
    """Raise RepositoryError for a bare repository."""
    # In the usual case, no process is needed.
    is_plain = os.path.lexists(os.path.join(git.directory, ".git"))
    is_plain = is_plain and git_config.value(git, "core.bare") == "false"
    if is_plain and not git_config.value(git, "core.worktree"):
        return
    if git.ask("rev-parse", "--is-inside-work-tree") == "false":
        raise RepositoryError(
            "the project is a bare repository, which has no files; use a clone or a worktree of it "
            "as the project"
        )


def check_version(git: Git) -> None:
    """Raise RepositoryError if the ``git`` on the PATH is missing or too old.

    A success is cached for the directory of ``git``, until the program changes.
    """
    program = shutil.which("git")
    if program is None:
        oldest = ".".join(map(str, OLDEST))
        raise RepositoryError(f"git is not on the PATH; install git {oldest} or newer")
    with suppress(OSError):
        _check_program(program, os.stat(program).st_mtime_ns, git.directory)
        return
    _check_program(program, 0, git.directory)


@lru_cache(maxsize=4)
def _check_program(program: str, changed: int, directory: str) -> None:
    answer = Git(directory, {}).run("version").text
    numbers = [part for part in answer.split() if part[:1].isdigit()]
    version = tuple(int(part) for part in (numbers or ["0"])[0].split(".")[:2] if part.isdigit())
    if version < OLDEST:
        raise RepositoryError(f"{answer} is too old; install git {OLDEST[0]}.{OLDEST[1]} or newer")
