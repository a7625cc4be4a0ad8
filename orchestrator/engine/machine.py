"""What the machine has left, as the kernel tells it."""

import errno
import os
import resource
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DESCRIPTORS = Path("/proc/self/fd")
_PRESSURE = Path("/proc/pressure/memory")


def available_memory_bytes() -> int | None:
    """What can be used without swapping; None where the kernel does not say."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def boot_id() -> str:
    """Another one after each start of the machine; empty where there is none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def memory_pressure_percent() -> float | None:
    """The share of the last ten seconds in which something waited for memory (Linux PSI).

    None where the kernel does not say.
    """
    try:
        some = _PRESSURE.read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    figures = dict(part.split("=", 1) for part in some.split()[1:])
    return float(figures["avg10"])


def free_descriptors() -> int | None:
    """How many more files and sockets this process may open; None when that cannot be told."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return soft - len(os.listdir(_DESCRIPTORS))
    except OSError as error:
        return 0 if error.errno in (errno.EMFILE, errno.ENFILE) else None


def free_files(directory: Path) -> int | None:
    """How many more files the file system can hold; None where it does not say."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_favail if found.f_files else None


def free_disk_bytes(directory: Path) -> int | None:
    """What an ordinary user may still write there; None when that cannot be told."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
