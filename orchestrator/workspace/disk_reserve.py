"""A file that keeps disk space free for the last state."""

import errno
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

RESERVE_BYTES = 4 * 1024 * 1024
#: Where the file system cannot set blocks aside.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class DiskReserve:
    """``hold`` sets space aside, ``release`` gives it to whoever writes next. Both idempotent."""

    def __init__(self, root: Path, size: int = RESERVE_BYTES) -> None:
        self._path = root / ".disk-reserve"
        self._size = size
        self._held = False

    def hold(self) -> None:
        """Without space for it, there is none: that is told by whoever needs the space."""
        if self._held and self._path.exists():
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self._path, flags, 0o600)
        except OSError:
            return
        try:
            _set_aside(handle, self._size)
            self._held = True
        except OSError:
            self.drop()
        finally:
            os.close(handle)

    def release(self) -> bool:
        """Whether there was something to give."""
        given = self.drop()
        if given:
            logger.warning("%s was given up, in case the disk is full", self._path)
        return given

    def drop(self) -> bool:
        """Take it away because nobody writes any more; whether it was there."""
        self._held = False
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True


def _set_aside(handle: int, size: int) -> None:
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        os.write(handle, bytes(size))
