"""One server per database in a file: a lock beside it, which the kernel frees with its holder."""

import fcntl
import os

from orchestrator.core.errors import StoreError
from orchestrator.store.failures import in_use

#: Not the file itself: closing any handle of that ends the locks that SQLite holds on it.
SUFFIX = "-lock"


def take(path: str) -> int:
    """The lock's handle, to be closed in the end. Raises StoreError."""
    # Whatever links lead there: SQLite follows them, too.
    beside = os.path.realpath(path) + SUFFIX
    try:
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(f"{beside} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise in_use(path) from error
    return handle
