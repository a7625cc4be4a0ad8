"""Temporary files that git left when the disk was full.

They are removed, because otherwise the disk stays full. Git removes its own lock files, but not
incomplete objects and packs.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: Seconds during which git may have closed such a file but not renamed it yet.
SETTLE_SECONDS = 0.5
#: Length of a kernel tick in seconds, which is the resolution of files' time stamps.
_TICK_SECONDS = 0.1
_PATTERNS = ("tmp_obj_*", "??/tmp_obj_*", "pack/tmp_pack_*", "pack/tmp_idx_*", "pack/tmp_rev_*")


def sweep(objects: Path, since: float) -> list[Path]:
    """Remove temporary files that were written after ``since``, and that no process has open.
    Return their paths.

    Files of other users stay. If the kernel does not show which files are open, all files stay.
    """
    found = dict(_written(objects, since))
    if not found:
        return []
    time.sleep(SETTLE_SECONDS)
    present = dict(_written(objects, since))
    opened = _open_files()
    left = [path for path in found if present.get(path) == found[path]]
    removed = []
    for path in left if opened is not None else ():
        if found[path][:2] not in (opened or ()):
            with suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def _written(objects: Path, since: float) -> Iterator[tuple[Path, tuple[int, int, int, int]]]:
    for pattern in _PATTERNS:
        for path in objects.glob(pattern):
            with suppress(OSError):
                seen = path.lstat()
                if seen.st_mtime >= since - _TICK_SECONDS and seen.st_uid == os.geteuid():
                    yield path, (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)


def _open_files() -> set[tuple[int, int]] | None:
    """Return the device and inode of every file that this user's processes have open.

    Return None if the open files are unknown.
    """
    found = set()
    if not os.path.isdir("/proc/self/fd"):
        return None
    for process in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            for name in os.listdir(process):
                with suppress(OSError):
                    seen = os.stat(process / name)
                    found.add((seen.st_dev, seen.st_ino))
    return found
