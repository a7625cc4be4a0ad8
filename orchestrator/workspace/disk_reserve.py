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
    """``hold`` reserves space, ``release`` frees it for the next writer. Both are idempotent."""

    def __init__(self, root: Path, size: int = RESERVE_BYTES) -> None:
        self._path = root / ".disk-reserve"
        self._size = size
        self._held = False

    def hold(self) -> None:
        """Allocate the reserve. If the disk is full, there is no reserve, and later writes report
        the error.
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
        """Release the space. Return True if there was any."""
        given = self.drop()
        if given:
            logger.warning("%s was removed, in case the disk is full", self._path)
        return given

    def drop(self) -> bool:
        """Remove the reserve, because the server writes nothing more. Return True if the reserve
        existed.
        """
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
