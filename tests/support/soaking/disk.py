"""A small disk in memory that a test can fill. Only root can mount it."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

SIZE_MIB = 512
PIECE_BYTES = 2**24


def mounted(directory: Path) -> Path | None:
    """Mount a small disk at ``directory``. Return the directory, or None if mounting fails."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        return None
    return directory


def unmount(directory: Path) -> None:
    """Unmount lazily, because a process may still have a file of the disk open."""
    subprocess.run(["umount", "-l", str(directory)], check=True)


def fill(disk: Path, leave_bytes: int) -> Path:
    """Fill the disk except ``leave_bytes``. Return the file that fills it."""
    filler = disk / "filler"
    with filler.open("wb") as file, suppress(OSError):
        while (free := _free_bytes(disk) - leave_bytes) > 0:
            end = file.seek(0, os.SEEK_END)
            os.posix_fallocate(file.fileno(), end, min(free, PIECE_BYTES))
    return filler


def _free_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize
