"""Lock of a workspace, so that only one server at a time uses the workspace.

The kernel releases the lock when the process that holds the lock exits.
"""

import fcntl
import os
import time
from pathlib import Path
from shlex import quote

from orchestrator.core.errors import Unavailable, WorkspaceBusy
from orchestrator.system import process_table

LOCK_NAME = "server.lock"
#: Seconds for which a server retries to acquire the lock. A shim whose server has exited acquires
#: the lock for a moment, to find out whether a new server runs.
_PATIENCE_SECONDS = 0.2
_PAUSE_SECONDS = 0.01


class WorkspaceLock:
    """The lock of a workspace, held until ``release`` or the end of the process."""

    def __init__(self, root: Path) -> None:
        self._path = root / LOCK_NAME
        self._handle: int | None = None

    def acquire(self) -> None:
        """Acquire the lock. Raise WorkspaceBusy if another process holds the lock.

        Raise Unavailable if the lock file cannot be written.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise Unavailable(
                f"cannot write to the workspace {self._path.parent}: {error.strerror}; make it "
                "writable, or set orchestrator.workspace_root to another directory"
            ) from error
        if not try_lock(handle):
            holder = os.read(handle, 100).decode("ascii", "replace").strip()
            os.close(handle)
            raise WorkspaceBusy(
                f"workspace {self._path.parent} is in use by another server (process "
                f"{holder or 'unknown'}){self._next_step(holder)}"
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle

    def _next_step(self, holder: str) -> str:
        if not holder:
            return f"; use that server, or find its process: fuser {quote(str(self._path))}"
        if holder.isdecimal() and process_table.is_stopped(int(holder)):
            return f", which is stopped; continue that server: kill -CONT {holder}"
        return f"; use that server, or stop it: kill {holder}"

    def seize(self) -> None:
        """Acquire the lock although a server on a lost machine may still hold it.

        The caller must be sure that the other server no longer runs. The file is replaced, because
        a shared file system may release the lock of a lost machine late or never. Raise Unavailable
        if the lock file cannot be written.
        """
        path = self._path.with_name(f"{LOCK_NAME}.{os.getpid()}")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            handle = os.open(path, flags, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            os.replace(path, self._path)
        except OSError as error:
            raise Unavailable(
                f"cannot write the workspace's lock file {path}: {error.strerror}; make the "
                "directory writable"
            ) from error
        self._handle = handle

    def is_held_here(self) -> bool:
        """True if a process of this machine, in the same PID namespace, holds the lock."""
        try:
            lock_status = self._path.stat()
            holder = int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return False
        return any(_is_same_file(each, lock_status) for each in process_table.open_files(holder))

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _is_same_file(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False


def try_lock(handle: int) -> bool:
    """Acquire the lock of the open file with the descriptor ``handle``.

    Return True if this process now holds the lock; False if another process still holds the lock
    after a short wait.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
