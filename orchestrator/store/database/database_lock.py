"""Locks that allow only one server for each database file.

The kernel releases the locks when their holder exits.
"""

import errno
import fcntl
import os
import struct

from orchestrator.core.errors import StoreError

#: Suffix of the lock file. The lock is on a separate file, because closing any handle of the
#: database file ends SQLite's locks on the database file.
SUFFIX = "-lock"
#: Offset of the lock in the database file, far behind the file's content and SQLite's locks.
_BYTE = 1 << 62
_HELD = (errno.EAGAIN, errno.EACCES)


def acquire(path: str) -> list[int]:
    """Lock a database file, and return the handles of the two locks.

    One lock is on a separate lock file. Because people remove lock files, the other lock is on the
    database file itself. Raise StoreError if another server uses the file, or if a file cannot be
    opened.

    Close the handles only after the last connection was closed: closing the handle of the database
    file ends SQLite's own locks.
    """
    # Use the target of all links, because SQLite does so, too.
    real_path = os.path.realpath(path)
    lock_handle = _open(real_path + SUFFIX, os.O_CREAT | os.O_NOFOLLOW)
    handles = [lock_handle]
    try:
        fcntl.flock(lock_handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        handles.append(_open(real_path))
        _lock_inside(handles[-1])
    except (OSError, StoreError) as error:
        release(handles)
        if isinstance(error, StoreError):
            raise
        raise in_use(path) from error
    return handles


def in_use(where: str) -> StoreError:
    return StoreError(
        f"another server uses {where}; stop it, or use another database (setting store.url)"
    )


def release(handles: list[int]) -> None:
    """Release the locks. Idempotent."""
    while handles:
        os.close(handles.pop())


def _open(path: str, flags: int = 0) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    except OSError as error:
        raise StoreError(
            f"cannot open {path}: {error.strerror}; check the path and its permissions"
        ) from error


def _lock_inside(handle: int) -> None:
    """Lock the database file. Raise OSError if another server holds the lock.

    Does nothing on file systems without such locks.
    """
    lock = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, lock)
    except OSError as error:
        if error.errno in _HELD:
            raise
