"""Registers a worktree by writing the files that ``git worktree add --no-checkout --lock`` writes.

For a small worktree, that command takes twice as much CPU time as all other commands, because it
starts a second process. The files are described in git's gitrepository-layout(5).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.git.command import configuration
from orchestrator.git.command.runner import Git

#: Reason of the lock that protects a worker's worktree against ``git worktree prune``.
REASON = "a worker of the orchestrator uses this worktree"
#: Settings that make git write other files, or other permissions. Git then registers the worktree.
_UNUSUAL = (b"extensions.", b"worktree.", b"core.sharedrepository", b"core.sparsecheckout")
#: An extension that does not change the files of a worktree.
_USUAL = b"extensions.objectformat"
_MOST_NUMBERS = 10_000


def register(git: Git, common: Path, directory: str, branch: str) -> Path | None:
    """Create ``directory``, which must not exist, and register it as a worktree.

    ``branch``: the full name of a branch that no other worktree has checked out. Return the
    worktree's own part of the repository. Return None, and change nothing, if only git can register
    it.
    """
    holder, name = os.path.split(directory)
    # Git stores real paths, so links are resolved in the same way.
    real = os.path.join(os.path.realpath(holder), name)
    if "\n" in f"{real}{common}" or os.path.realpath(common) != str(common) or _is_unusual(git):
        return None
    try:
        admin = _entry(common / "worktrees", name)
    except OSError:
        return None
    try:
        # Without this file, a `git worktree prune` of another process removes the entry.
        (admin / "locked").write_text(f"{REASON}\n")
        os.makedirs(real)
        for path, content in _files(admin, real, branch):
            path.write_bytes(content)
    except OSError:
        shutil.rmtree(admin, ignore_errors=True)
        with suppress(OSError):
            (Path(real) / ".git").unlink(missing_ok=True)
            os.rmdir(real)
        return None
    return admin


def _is_unusual(git: Git) -> bool:
    try:
        settings = configuration.listed(git)
    except RepositoryError:
        return True
    names = (each.partition(b"\n")[0] for each in settings)
    return any(each.startswith(_UNUSUAL) and each != _USUAL for each in names)


def _entry(entries: Path, name: str) -> Path:
    """Create and return an empty directory with an unused name. Raise OSError."""
    entries.mkdir(exist_ok=True)
    for number in range(_MOST_NUMBERS):
        admin = entries / f"{name}{number or ''}"
        with suppress(FileExistsError):
            admin.mkdir()
            return admin
    raise FileExistsError(f"no unused name in {entries}")


def _files(admin: Path, directory: str, branch: str) -> Iterator[tuple[Path, bytes]]:
    yield admin / "gitdir", os.fsencode(f"{directory}/.git\n")
    yield Path(directory, ".git"), os.fsencode(f"gitdir: {admin}\n")
    yield admin / "commondir", b"../..\n"
    yield admin / "HEAD", os.fsencode(f"ref: {branch}\n")
