"""Speeds up the creation of files in the directories of jobs, by a setting of ext4."""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

#: Numbers of the calls FS_IOC_GETFLAGS and FS_IOC_SETFLAGS (linux/fs.h) on machines whose C type
#: ``long`` has 8 bytes. The flags themselves have 4 bytes.
_GET_FLAGS = 0x80086601
_SET_FLAGS = 0x40086602
_TOP_OF_HIERARCHIES = 0x00020000
_FLAGS = struct.Struct("i")


def spread_subdirectories(directory: Path) -> None:
    """Mark a directory, as ``chattr +T`` does, so that ext4 spreads its subdirectories. Idempotent.

    ext4 then stores new subdirectories in different parts of the disk. Without the mark, ext4
    searches for a free inode near the files of earlier jobs. If many of these files were removed in
    the last minute or so, the search has to skip their inodes. In a measurement, this search took
    0.1 to 0.2 ms for each new file. Other file systems ignore the mark.
    """
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            [flags] = _FLAGS.unpack(fcntl.ioctl(handle, _GET_FLAGS, bytes(_FLAGS.size)))
            if not flags & _TOP_OF_HIERARCHIES:
                fcntl.ioctl(handle, _SET_FLAGS, _FLAGS.pack(flags | _TOP_OF_HIERARCHIES))
        finally:
            os.close(handle)
