"""Lock of a worker's worktree while a person works in it (``attach``)."""

import fcntl
import os
from pathlib import Path

from orchestrator.workspace.workspace_lock import try_lock

#: Name of the locked file in a worker's directory.
ATTACHED = "attached.lock"


def attach(worker_directory: Path | str) -> int | None:
    """Lock a worker's worktree for a person.

    Return the lock's file descriptor, or None if the worktree is already locked.

    The lock is held until the descriptor and all its copies are closed. Pass the descriptor to the
    tool that the person starts, so that the worktree stays locked as long as the tool runs.
    """
    path = Path(worker_directory, ATTACHED)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if try_lock(handle):
        return handle
    os.close(handle)
    return None


def is_attached(worker_directory: Path | str) -> bool:
    try:
        handle = os.open(Path(worker_directory, ATTACHED), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
