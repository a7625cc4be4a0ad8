"""Reports growing files through inotify, so that logs need not be polled. Linux only."""

import ctypes
import os
import struct

_EVENT = struct.Struct("iIII")
_MODIFY = 0x2
_BYTES = 64 * 1024


class FileGrowthWatch:
    """Watches directories. Its descriptor is readable after a write in a watched directory."""

    def __init__(self, name: str) -> None:
        """``name``: report only files with this name.

        Raise OSError if the system has no inotify, or if its limit of inotify instances is reached.
        """
        self._name = name.encode()
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError("this system has no inotify, which nodes need; use Linux")
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")

    def fileno(self) -> int:
        return int(self._descriptor)

    def add(self, directory: str) -> int:
        """Watch a directory. Return its number in the results of ``grown``.

        Raise OSError if the directory cannot be watched.
        """
        found = self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _MODIFY)
        if found < 0:
            raise OSError(
                ctypes.get_errno(),
                f"cannot watch {directory} (check the limits: sysctl fs.inotify)",
            )
        return int(found)

    def remove(self, watch: int) -> None:
        self._libc.inotify_rm_watch(self._descriptor, watch)

    def grown(self) -> set[int]:
        """Return the numbers of directories with a write since the previous call. Does not wait."""
        try:
            events = os.read(self._descriptor, _BYTES)
        except BlockingIOError:
            return set()
        found, at = set(), 0
        while at < len(events):
            watch, _, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if events[at - length : at].rstrip(b"\0") == self._name:
                found.add(int(watch))
        return found

    def close(self) -> None:
        os.close(self._descriptor)
