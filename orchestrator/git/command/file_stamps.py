"""Stamps of all files below a directory: mode, inode, size, and times.

Equal stamps mean that git would find no change. Every change of a file also changes its stamp: the
kernel sets ``ctime``, the time of the last change. No process can set ``ctime`` back.
"""

import os
import stat
from collections.abc import Collection, Mapping

#: Maximum number of files and directories. For more of them, git is faster than this module.
MOST_ENTRIES = 1_000

#: The stamps by relative path.
FileStamps = Mapping[str, tuple[int, ...]]


class _TooComplex(Exception):
    """The directory has too many files, or contains another repository."""


def stamps(directory: str, without: Collection[str]) -> FileStamps | None:
    """Return the stamps of a checkout's files. The checkout's ``.git`` is omitted.

    Return None if ``directory`` contains more than MOST_ENTRIES files and directories, another
    repository, or an unreadable directory.
    ``without``: relative paths of directories that are omitted.
    """
    by_path: dict[str, tuple[int, ...]] = {}
    try:
        _add_stamps(directory, "", without, by_path)
    except (_TooComplex, OSError):
        return None
    return by_path


def _add_stamps(
    directory: str, prefix: str, without: Collection[str], by_path: dict[str, tuple[int, ...]]
) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if path == ".git":
                continue
            status = entry.stat(follow_symlinks=False)
            if entry.name == ".git" or len(by_path) >= MOST_ENTRIES:
                raise _TooComplex
            if not stat.S_ISDIR(status.st_mode):
                times = status.st_mtime_ns, status.st_ctime_ns
                by_path[path] = status.st_mode, status.st_ino, status.st_size, *times
            elif path not in without:
                # Omit the times of a directory: they change only if its entries change, and the
                # entries have their own stamps.
                by_path[path] = (status.st_mode,)
                _add_stamps(entry.path, f"{path}/", without, by_path)


def are_older(files: FileStamps, nanoseconds: int) -> bool:
    """True if the last change of each file was before ``nanoseconds``.

    ``nanoseconds``: Unix time in nanoseconds.
    """
    return all(each[-1] < nanoseconds for each in files.values() if len(each) > 1)
