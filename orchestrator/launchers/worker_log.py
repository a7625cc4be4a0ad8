"""The log of one attempt: masked, bounded, and never a reason to stop the worker."""

import os
import stat

from orchestrator.security.masking import Masker

#: Of the output beyond the limit, so much of the end is kept.
_LARGEST_TAIL = 256 * 1024
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class WorkerLog:
    """Appends to a file. The beginning and the end are kept of what is more than it may hold."""

    def __init__(self, path: str, limit_bytes: int, masker: Masker) -> None:
        """Raise OSError when there can be no such file."""
        self._path = path
        self._descriptor = _open_regular(path)
        self._begins_at = os.fstat(self._descriptor).st_size
        self._masker = masker
        self._tail_limit = min(_LARGEST_TAIL, limit_bytes // 4)
        self._room = limit_bytes - self._tail_limit
        #: The latest output that was beyond the room, until it is known what follows.
        self._tail = bytearray()
        self._dropped = 0
        #: Nothing was written since the latest silence.
        self._silent = True
        self.written_bytes = 0
        #: Some output could not be written, or is not there any more.
        self.is_lost = False

    @property
    def is_truncated(self) -> bool:
        return self._dropped > 0

    @property
    def awaits_silence(self) -> bool:
        """``silence`` may have something to show."""
        return self._masker.holds_back and not self._silent

    def write(self, chunk: bytes) -> None:
        self._silent = False
        self._keep(self._masker.feed(chunk))

    def silence(self) -> None:
        """There was no output for a moment: show what need not be held back."""
        self._silent = True
        self._keep(self._masker.release())

    def close(self) -> None:
        self._keep(self._masker.finish())
        if self._dropped:
            self._append(b"\n[... %d bytes dropped ...]\n" % self._dropped)
        self._append(bytes(self._tail))
        self.is_lost = self.is_lost or not self._is_there()
        os.close(self._descriptor)

    def _is_there(self) -> bool:
        """A worker that is not shut in can remove its log, put another in its place or empty it."""
        found = os.fstat(self._descriptor)
        try:
            in_place = os.path.samestat(found, os.lstat(self._path))
        except OSError:
            return False
        return in_place and found.st_size >= self._begins_at + self.written_bytes

    def _keep(self, output: bytes) -> None:
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

    def _append(self, output: bytes) -> None:
        try:
            while output:
                written = os.write(self._descriptor, output)
                self.written_bytes += written
                output = output[written:]
        except OSError:
            # A full or broken disk: the worker goes on, and nobody takes the log for whole.
            self.is_lost = True


def _open_regular(path: str) -> int:
    descriptor = os.open(path, _FLAGS, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file")
    return descriptor
