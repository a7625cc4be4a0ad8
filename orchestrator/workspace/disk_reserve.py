"""A file that reserves disk space for the last state."""

import errno
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

RESERVE_BYTES = 4 * 1024 * 1024
#: Errors of file systems that cannot reserve blocks.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class DiskReserve:
    """``hold`` reserves space, ``release`` frees it for the next writer. Both idempotent."""

    def __init__(self, root: Path, size: int = RESERVE_BYTES) -> None:
        self._path = root / ".disk-reserve"
        self._size = size
        self._held = False

    def hold(self) -> None:
        """Allocate the reserve. Without disk space there is none, and the code that needs space
        reports it.
        """
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
        """Return True if there was space to release."""
        given = self.drop()
        if given:
            logger.warning("%s was removed, in case the disk is full", self._path)
        return given

    def drop(self) -> bool:
        """Remove the reserve because nothing is written any more. Return True if it existed."""
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
