"""Removes named pipes (FIFOs) and devices at paths that git reads.

Git would wait for a FIFO forever. A worker can create FIFOs and devices in its worktree and,
without containment, in the repository.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from orchestrator.security.files.untrusted_files import read_regular

#: Prefix of the names of files in a worktree that git reads, such as ``.gitignore``.
_READ = ".git"
#: Directories of the repository to which workers may write.
_PARTS = ("worktrees", "refs", "logs")
#: Types of files that are not special. In a worktree, git never follows a link at a path that it
#: reads. In a git directory, git follows links, so a link to a special file is removed there.
_PLAIN = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
#: Seconds for which a removed pipe stays open, so that a waiting process can read from it.
LINGER_SECONDS = 0.05
#: Maximum size of a worktree's ``.git`` file, which names the git directory, in bytes.
_LONGEST_LINK = 65536


def clear(admin: Path) -> bool:
    """Remove FIFOs, devices, and links to them from ``admin``, the git directory of a worktree.

    Call this before git runs. Return True if a FIFO or device was found.
    """
    return _remove_files(filter(_leads_to_special, _paths_below(admin)))


def unblock(directory: str, env: Mapping[str, str]) -> bool:
    """Remove the FIFOs, devices, and links to them that may block a running git command.

    ``directory``, ``env``: the command's directory and variables. Return True if a FIFO or device
    was found. The search is slow, so call this only after the command has run for a while.
    """
    git_directory = _git_directory(directory, env)
    common = (
        git_directory.parent.parent if git_directory.parent.name == "worktrees" else git_directory
    )
    places = [common / part for part in _PARTS] + ([git_directory] if "GIT_DIR" in env else [])
    files = _paths_below(Path(env["GIT_WORK_TREE"])) if "GIT_WORK_TREE" in env else ()
    git_files = (path for path in files if os.path.basename(path).startswith(_READ))
    in_git_directories = filter(_leads_to_special, chain(*map(_paths_below, places)))
    return _remove_files(chain(in_git_directories, filter(is_special, git_files)))


def _git_directory(directory: str, env: Mapping[str, str]) -> Path:
    if "GIT_DIR" in env:
        return Path(env["GIT_DIR"])
    link = read_regular(os.path.join(directory, ".git"), _LONGEST_LINK) or b""
    return Path(directory, os.fsdecode(link).removeprefix("gitdir: ").strip() or ".git")


def _paths_below(directory: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(directory):
        if "objects" in folders and "HEAD" in names:
            folders.remove("objects")
        yield from (os.path.join(parent, name) for name in names)


def _remove_files(paths: Iterable[str]) -> bool:
    found = list(paths)
    for path in found:
        with suppress(OSError):
            _remove(path)
    return bool(found)


def is_special(path: str) -> bool:
    with suppress(OSError):
        return stat.S_IFMT(os.lstat(path).st_mode) not in _PLAIN
    return False


def _leads_to_special(path: str) -> bool:
    with suppress(OSError):
        return stat.S_IFMT(os.stat(path).st_mode) not in _PLAIN
    return False


def _remove(path: str) -> None:
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        os.unlink(path)
        return
    # Open the pipe for reading and writing, so that a waiting process continues and reads an empty
    # file.
    ends = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Unlink the pipe before closing it. Otherwise a process that opens the pipe after the close
        # would wait forever.
        os.unlink(path)
        time.sleep(LINGER_SECONDS)
    finally:
        os.close(ends)
