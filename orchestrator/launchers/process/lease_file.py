"""The lease file of a node or a server, which contains the end of its lease. Standard library only.

The holder extends the lease before the lease ends. A shim reads the file that ``Launch.lease_file``
names, and stops its attempt when the lease has ended. The spawner reads the file of its server, and
kills a server that has not exited after the end of its lease. A lock cannot replace the lease,
because a process that hangs holds its locks forever.
"""

import os
import struct
import time

#: Seconds between two checks of the file.
CHECK_SECONDS = 0.25
_END = struct.Struct("<d")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def boot_time() -> float:
    """Return the seconds since the machine's start, including suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseFile:
    """Writes the lease file, for the lease's holder. Raises OSError if writing fails."""

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)

    def extend(self, end: float) -> None:
        """Set the end of the lease, in seconds of ``boot_time``."""
        os.pwrite(self._descriptor, _END.pack(end), 0)

    def close(self) -> None:
        os.close(self._descriptor)


class LeaseWatch:
    """Reads the lease file, for a shim or spawner. Times are monotonic seconds."""

    def __init__(self, path: str, now: float) -> None:
        self._path = path
        #: Time of the next read of the file. Before this time, ``is_over`` returns False.
        self.wakes_at = now

    def is_over(self, now: float) -> bool:
        """True if the lease has ended, or if its file is missing or too short."""
        if now < self.wakes_at:
            return False
        self.wakes_at = now + CHECK_SECONDS
        end = _read(self._path)
        return end is None or boot_time() > end


def _read(path: str) -> float | None:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        content = os.pread(descriptor, _END.size, 0)
    finally:
        os.close(descriptor)
    return float(_END.unpack(content)[0]) if len(content) == _END.size else None
