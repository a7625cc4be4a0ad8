"""Finds and removes leftover files of git processes.

A killed git leaves lock files, which block later git commands. A git that fails because the disk is
full removes its lock files, but leaves incomplete objects and packs, which keep the disk full.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote

from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.system import process_table

#: Seconds after which a lock of a ref of the orchestrator counts as leftover. A running git holds
#: such a lock only briefly.
LEFT_SECONDS = 1.0
_HELD = re.compile(r"Unable to create '(?P<path>.+?\.lock)': File exists")
#: For a repository with a reftable: the path of the lock, and git's message about the lock. The
#: message does not contain the path.
_TABLE, _TABLE_IS_LOCKED = "reftable/tables.list.lock", "cannot lock references"
_OURS = re.compile(rf"/refs/(heads/)?{BRANCHES}(-kept)?/")


def blocking_lock(errors: str) -> str:
    """Return the path of the existing lock file that blocked git; "" if no lock file blocked git.

    ``errors``: git's error output.
    """
    match = _HELD.search(errors)
    return match["path"] if match else ""


def lock_advice(errors: str) -> str:
    """Return a message about the lock that blocked git; "" if git failed for another reason.

    ``errors``: git's error output. The message names the lock file, and how to remove it.
    """
    path = blocking_lock(errors)
    if not path and _TABLE_IS_LOCKED not in errors:
        return ""
    what = quote(path) if path else f'"$(git rev-parse --git-common-dir)/{_TABLE}"'
    return (
        f"{path or _TABLE} exists: another git process is running in the repository, or was "
        f"killed; if none is running: `rm {what}`, then repeat the failed operation"
    )


def remove_leftover_lock(errors: str) -> bool:
    """Remove a lock that a killed git process left on a ref of the orchestrator.

    The user's own git cannot hold such a lock, because only the server and its workers write these
    refs. Locks on other refs are not removed.

    ``errors``: error output of the git command that the lock blocked. Return True if a retry of the
    command can succeed.
    """
    path = blocking_lock(errors)
    if not _OURS.search(path) or os.path.isdir(path):
        return False
    stamp = _stamp(path)
    clear([path])
    return stamp is None or _stamp(path) != stamp


def clear(paths: Iterable[str]) -> None:
    """Wait for LEFT_SECONDS. Then remove the lock files in ``paths`` that did not change.

    A lock file that does not change belongs to a killed git process. If ``paths`` is empty, return
    at once.
    """
    stamps = {path: _stamp(path) for path in paths}
    if not stamps:
        return
    time.sleep(LEFT_SECONDS)
    for path, stamp in stamps.items():
        if stamp is not None and _stamp(path) == stamp:
            with suppress(OSError):
                os.unlink(path)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


#: Maximum seconds between the closing and the renaming of a temporary file by git.
SETTLE_SECONDS = 0.5
#: Tolerance for the times of files, in seconds. The time of a new file may be one kernel tick
#: earlier than the clock.
_TICK_SECONDS = 0.1
_PATTERNS = ("tmp_obj_*", "??/tmp_obj_*", "pack/tmp_pack_*", "pack/tmp_idx_*", "pack/tmp_rev_*")


def sweep(objects: Path, since: float) -> list[Path]:
    """Remove git's temporary files that were written after ``since``. Return their paths.

    ``objects``: the repository's directory of objects. ``since``: Unix time. Open files and files
    of other users stay. If the system does not show which files are open, all files stay.
    """
    files = dict(_temporary_files(objects, since))
    if not files:
        return []
    time.sleep(SETTLE_SECONDS)
    files_now = dict(_temporary_files(objects, since))
    open_files = _open_files()
    unchanged = [path for path in files if files_now.get(path) == files[path]]
    removed = []
    for path in unchanged if open_files is not None else ():
        if files[path][:2] not in (open_files or ()):
            with suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def _temporary_files(
    objects: Path, since: float
) -> Iterator[tuple[Path, tuple[int, int, int, int]]]:
    for pattern in _PATTERNS:
        for path in objects.glob(pattern):
            with suppress(OSError):
                status = path.lstat()
                if status.st_mtime >= since - _TICK_SECONDS and status.st_uid == os.geteuid():
                    yield path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _open_files() -> set[tuple[int, int]] | None:
    """Return the device and inode of every file that this user's processes have open.

    Return None if the system does not show which files are open, or hides the open files of a git
    process.
    """
    if not process_table.has_proc():
        return None
    files = set()
    for pid in process_table.all_pids():
        for path in process_table.open_files(pid):
            try:
                status = os.stat(path)
            except PermissionError:
                # The kernel hides the open files of processes in other user namespaces.
                if process_table.is_own_program(pid, "git"):
                    return None
            except OSError:
                continue
            else:
                files.add((status.st_dev, status.st_ino))
    return files
