"""Makes ext4 place each job's files in another region of the disk."""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

#: From linux/fs.h for a long of 8 bytes; the flags themselves have 4 bytes.
_GET_FLAGS = 0x80086601
_SET_FLAGS = 0x40086602
_TOP_OF_HIERARCHIES = 0x00020000
_FLAGS = struct.Struct("i")


def spread(directory: Path) -> None:
    """Tell ext4 that subdirectories of ``directory`` are unrelated, as ``chattr +T`` does.
    Idempotent.

    Does nothing on other file systems. Otherwise, ext4 creates new files near those of earlier
    jobs, and does not reuse the place of a removed file for a minute or more. It skips each such
    place again for every file. After many removals, this took 0.1 to 0.2 ms per file, a fifth of
    the time of a job of short workers.
    """
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            [flags] = _FLAGS.unpack(fcntl.ioctl(handle, _GET_FLAGS, bytes(_FLAGS.size)))
            if not flags & _TOP_OF_HIERARCHIES:
                fcntl.ioctl(handle, _SET_FLAGS, _FLAGS.pack(flags | _TOP_OF_HIERARCHIES))
        finally:
            os.close(handle)
