"""Which commit a job starts from."""

import shutil

from orchestrator.core.errors import InvalidRequest, RepositoryError
from orchestrator.git.running import Git

_SUBMODULES = (
    "the repository has submodules: they are empty directories in workers' worktrees, and "
    "changes in them are not taken"
)
_LFS = (
    "the repository keeps files with Git LFS, and git-lfs is not installed here: workers find "
    "pointers in their place"
)


def notes(git: Git, commit: str) -> list[str]:
    """What workers that start from a commit do not find, in words."""
    found = [_SUBMODULES] if git.ask("ls-tree", commit, "--", ".gitmodules") else []
    attributes = git.ask("show", f"{commit}:.gitattributes")
    if "filter=lfs" in attributes and not shutil.which("git-lfs"):
        found.append(_LFS)
    return found


def commit_of(git: Git, revision: str) -> str:
    """The commit that a branch, tag or id names; HEAD without one. Raise RepositoryError."""
    name = f"{revision or 'HEAD'}^{{commit}}"
    found = git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", name)
    # Some versions repeat the option.
    commit = found.split("\n")[-1]
    if not commit and revision:
        raise RepositoryError("there is no such branch, tag or commit in the repository")
    if not commit:
        raise RepositoryError("the repository has no commit yet to start from")
    return commit


def refused(revision: str, error: Exception) -> InvalidRequest:
    what = f"base {revision!r}" if revision else "include_dirty"
    return InvalidRequest(f"{what} cannot be had: {error}", kind="base")
