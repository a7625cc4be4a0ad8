"""The log of one attempt: secrets masked, limited in size, and safe to print.

A write error never stops the worker.
"""

import contextlib
import os
import stat

from orchestrator.security.control_sequences import ControlSequenceRemover
from orchestrator.security.secrets.masking import Masker

#: Maximum bytes stored from the end of an output that exceeds the log's limit.
_LARGEST_TAIL = 256 * 1024
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
#: Directory next to the logs. Its files have the workers' output with all control sequences.
_RAW = "raw"
#: Components of a log's path below the workspace: job, "logs", name.
_BELOW_WORKSPACE = 3


class WorkerLog:
    """Writes the output of a worker to a log file that is safe to show on a terminal.

    The log has no control sequences other than colors. If the worker prints another control
    sequence, the original output from this sequence on is also written to a second file,
    ``raw/<log>``. Secrets are masked in both files.
    """

    def __init__(self, path: str, limit_bytes: int, masker: Masker) -> None:
        """Raise OSError if the log cannot be created."""
        self._path = path
        self._limit_bytes = limit_bytes
        descriptor, self._begins_at = _open_regular(path)
        self._file = _BoundedFile(descriptor, limit_bytes)
        self._cleaner = ControlSequenceRemover()
        # The masker works on the cleaner's output, because control sequences may interrupt a
        # secret.
        self._masker = masker
        self._raw: _RawFile | None = None
        #: True if nothing was written since the latest call of ``write_held_output``.
        self._silent = True
        self._is_replaced = False

    @property
    def written_bytes(self) -> int:
        return self._file.written_bytes

    @property
    def is_truncated(self) -> bool:
        return self._file.is_truncated

    @property
    def is_lost(self) -> bool:
        """True if output could not be written, or if the worker has damaged the log.

        Damage means that the log was removed, replaced, or shortened.
        """
        raw_is_lost = self._raw is not None and self._raw.is_lost
        return self._file.is_lost or self._is_replaced or raw_is_lost

    @property
    def has_held_output(self) -> bool:
        """True if output is held back, and ``write_held_output`` was not called for it yet.

        Output is held back if it may be the beginning of a secret. If True, call
        ``write_held_output`` when the worker has printed nothing for a moment.
        """
        return self._masker.holds_back and not self._silent

    def write(self, chunk: bytes) -> None:
        self._silent = False
        clean, original = self._cleaner.feed(chunk)
        self._file.write(self._masker.feed(clean))
        if original:
            self._write_raw(original)

    def write_held_output(self) -> None:
        """Write the held-back output if it reveals at most a quarter of a secret.

        Call this if the worker has printed nothing for a moment.
        """
        self._silent = True
        self._file.write(self._masker.release())

    def close(self) -> None:
        if original := self._cleaner.finish():
            self._write_raw(original)
        if self._raw is not None:
            self._raw.close()
        self._file.write(self._masker.finish())
        self._file.end()
        self._is_replaced = not self._is_intact()
        self._file.close()

    def _write_raw(self, original: bytes) -> None:
        if self._raw is None:
            path = self._file.current_path(self._path)
            self._raw = _RawFile(path, self._limit_bytes, self._masker.new_stream())
        self._raw.write(original)

    def _is_intact(self) -> bool:
        # A worker without a sandbox can remove, replace, or empty the log.
        try:
            return self._file.is_complete_at(self._path, self._begins_at + self.written_bytes)
        except OSError:
            return False


class _RawFile:
    """The file of the original output. Never raises. If the disk is full, output is lost."""

    def __init__(self, log: str, limit_bytes: int, masker: Masker) -> None:
        self._masker = masker
        self._file: _BoundedFile | None = None
        with contextlib.suppress(OSError):
            self._file = _BoundedFile(_open_raw_log(log), limit_bytes)

    @property
    def is_lost(self) -> bool:
        return self._file is None or self._file.is_lost

    def write(self, original: bytes) -> None:
        if self._file is not None:
            self._file.write(self._masker.feed(original))

    def close(self) -> None:
        if self._file is not None:
            self._file.write(self._masker.finish())
            self._file.end()
            self._file.close()


class _BoundedFile:
    """A log file with a size limit. If an output is longer, its middle is omitted.

    The end of the output is stored in memory until ``end`` writes it.
    """

    def __init__(self, descriptor: int, limit_bytes: int) -> None:
        self._descriptor = descriptor
        self._tail_limit = min(_LARGEST_TAIL, limit_bytes // 4)
        self._room = limit_bytes - self._tail_limit
        #: The latest output beyond the limit. ``end`` writes it.
        self._tail = bytearray()
        self._dropped = 0
        self.written_bytes = 0
        #: True if some output could not be written.
        self.is_lost = False

    @property
    def is_truncated(self) -> bool:
        return self._dropped > 0

    def current_path(self, path: str) -> str:
        """Return the file's path, which differs from ``path`` if the workspace was moved."""
        if os.path.lexists(path):
            return path
        with contextlib.suppress(OSError):  # no /proc
            target = os.readlink(f"/proc/self/fd/{self._descriptor}")
            # Accept only the same path below the workspace: within a job, only the worker itself
            # can have moved the log.
            if target.split("/")[-_BELOW_WORKSPACE:] == path.split("/")[-_BELOW_WORKSPACE:]:
                return target
        return path

    def is_complete_at(self, path: str, size: int) -> bool:
        open_status = os.fstat(self._descriptor)
        try:
            path_status = os.lstat(path)
        except FileNotFoundError:
            path_status = os.lstat(self.current_path(path))
        return os.path.samestat(open_status, path_status) and open_status.st_size >= size

    def write(self, output: bytes) -> None:
        if len(output) <= self._room:
            self._room -= len(output)
            self._append(output)
            return
        self._append(output[: self._room])
        self._tail += output[self._room :]
        self._room = 0
        excess = len(self._tail) - self._tail_limit
        if excess > 0:
            self._dropped += excess
            del self._tail[:excess]

    def end(self) -> None:
        if self._dropped:
            self._append(b"\n[... %d bytes dropped ...]\n" % self._dropped)
        self._append(bytes(self._tail))

    def close(self) -> None:
        os.close(self._descriptor)

    def _append(self, output: bytes) -> None:
        try:
            while output:
                written = os.write(self._descriptor, output)
                self.written_bytes += written
                output = output[written:]
        except OSError:
            # The disk is full or broken. The worker continues, and the log is marked as incomplete.
            self.is_lost = True


def _open_regular(path: str, directory: int | None = None) -> tuple[int, int]:
    descriptor = os.open(path, _FLAGS, 0o600, dir_fd=directory)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file")
    return descriptor, status.st_size


def _open_raw_log(log: str) -> int:
    logs, name = os.path.split(log)
    path = os.path.join(logs, _RAW)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _open_regular(name, directory)[0]
    finally:
        os.close(directory)
