"""The lock and the exit record of an attempt: one file, which is renamed once.

The process that runs the attempt creates and locks ``<name>.run``, and writes its PID there. At the
end, the exit record replaces the file's content, and the file is renamed to ``<name>.json``. A
reader therefore finds a complete record or none.

After a kill before the rename, or after a power loss, an unlocked ``.run`` may contain a complete
record. In this case, ``exit_record.attempt_state`` renames the file. Incomplete content is ignored.
"""

import errno
import fcntl
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from orchestrator.core import failpoints
from orchestrator.system import process_table

_SUFFIX = ".json"
_NOTHING: Mapping[str, object] = {}
#: Function that gets the path of an exit record, and returns True if neither a shim nor the server
#: has written the file at this path.
IsForged = Callable[[str], bool]


#: The encoder does not search objects for cycles, because the search would take 40 % of the time.
_encode = json.JSONEncoder(check_circular=False).encode


def _never_forged(_exit_path: str) -> bool:
    return False


class LockRefused(Exception):
    """The attempt must not be started: it has run, is running, or was declared lost."""


class NotRegularFile(OSError):
    """A worker has created a link, FIFO, or other special file at the path of an attempt's file."""


def run_path(exit_path: str) -> str:
    return exit_path.removesuffix(_SUFFIX) + ".run"


class RunFile:
    """The lock of an attempt: the sole right to run the attempt, or to mark the attempt as lost.

    The lock is held until ``publish`` or ``release``.
    """

    def __init__(self, descriptor: int, exit_path: str) -> None:
        self._descriptor = descriptor
        self._exit_path = exit_path
        #: Bytes of the line that identifies the process that holds the lock.
        self._end = 0
        #: Bytes of the file's content; infinite if unknown.
        self._length: float = math.inf

    @classmethod
    def acquire(cls, exit_path: str, is_forged: IsForged = _never_forged) -> "RunFile":
        """Lock an attempt that was never started.

        Raise LockRefused if the attempt was started, and OSError if the file cannot be created.
        """
        path = run_path(exit_path)
        try:
            descriptor = _open(path, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            raise LockRefused(f"{path} exists: this attempt was already started") from None
        failpoints.reached("attempt lock: made")
        lock = cls._locked(descriptor, exit_path, is_forged)
        lock._length = 0
        return lock

    @classmethod
    def take_over(cls, exit_path: str, is_forged: IsForged = _never_forged) -> "RunFile":
        """Lock an attempt whose shim has exited.

        Raise LockRefused if the shim is alive or the attempt has ended. Raise FileNotFoundError if
        there is no ``.run``, and NotRegularFile if ``.run`` is not a regular file.
        """
        return cls._locked(_open(run_path(exit_path), 0), exit_path, is_forged)

    @classmethod
    def _locked(cls, descriptor: int, exit_path: str, is_forged: IsForged) -> "RunFile":
        lock = cls(descriptor, exit_path)
        try:
            lock._lock(is_forged)
        except BaseException:
            lock.release()
            raise
        return lock

    def _lock(self, is_forged: IsForged) -> None:
        path = run_path(self._exit_path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockRefused(f"{path} is locked by a running process") from None
        # Between ``_open`` and ``flock``, another process may have written the exit record, and
        # renamed the file.
        if not _is_same_file(self._descriptor, path):
            raise LockRefused(f"{self._exit_path}: the server declared this attempt lost")
        if os.path.lexists(self._exit_path) and not is_forged(self._exit_path):
            os.unlink(path)
            raise LockRefused(f"{self._exit_path} exists: this attempt has ended")

    def write_holder(self, attempt_id: str) -> None:
        """Write the identity of this process, which runs the attempt, into the file."""
        identity = _identity(os.getpid())
        self._end = self._write(0, b'{"attempt": %s, %s' % (_encode(attempt_id).encode(), identity))
        failpoints.reached("attempt lock: holder written")

    def add_worker(self, pid: int, traces: Mapping[str, object] = _NOTHING) -> None:
        """Append the worker's PID to the file.

        ``traces``: further fields, with which the server can kill the worker's processes if the
        shim is killed.
        """
        line = encoded({"worker": pid, **traces}) if traces else b'{"worker": %d}' % pid
        self._write(self._end, line)

    def publish(self, record: bytes, *, synced: bool = True) -> None:
        """Make the exit record visible, and release the lock.

        Raise OSError if the record cannot be written; the lock is then not released. ``synced``:
        True to wait until the record is on the disk. This is slow, and unnecessary if a connected
        server stores the record.
        """
        # Overwrite the file in place, and truncate it afterwards, so that the write needs no
        # further block of a full disk.
        end = self._write(0, record)
        # Truncate only if the former content was longer: on a disk, this costs as much as a write.
        if end < self._length:
            os.ftruncate(self._descriptor, end)
        if synced:
            os.fsync(self._descriptor)
        failpoints.reached("exit record: before the rename")
        os.rename(run_path(self._exit_path), self._exit_path)
        failpoints.reached("exit record: after the rename")
        self.release()

    def read(self, limit: int) -> bytes:
        return os.pread(self._descriptor, limit, 0)

    def release(self) -> None:
        """Release the lock. The file's content stays."""
        os.close(self._descriptor)

    def _write(self, position: int, content: bytes) -> int:
        line = content + b"\n"
        written = os.pwrite(self._descriptor, line, position)
        if written < len(line):
            raise OSError(f"{self._exit_path}: only {written} of {len(line)} bytes were written")
        self._length = max(self._length, position + written)
        return position + written


def encoded(content: Mapping[str, Any]) -> bytes:
    return _encode(content).encode("ascii")


@cache
def _identity(pid: int) -> bytes:
    """Return the fields that identify a process, as JSON without the opening brace.

    The caller adds a brace and other fields before them.
    """
    ticks = process_table.start_ticks(pid)
    return encoded({"shim": pid, "shim_start": ticks, "boot_id": process_table.boot_id()})[1:]


def _open(path: str, flags: int) -> int:
    flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise NotRegularFile(f"{path} is not a regular file") from None
        raise
    # A file that this call has created is always a regular file.
    if not flags & os.O_EXCL and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularFile(f"{path} is not a regular file")
    return descriptor


def move_aside(path: str) -> None:
    """Rename a file that a worker has created at the path of an attempt's file."""
    os.rename(path, f"{path}.foreign")


def _is_same_file(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
