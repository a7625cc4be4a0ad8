"""Lock files that a killed git did not remove. They block every later git command."""

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from shlex import quote

from orchestrator.core.repository.git_refs import BRANCHES

#: Seconds after which a lock of the orchestrator's own refs counts as leftover. Git holds such a
#: lock only briefly.
LEFT_SECONDS = 1.0
_HELD = re.compile(r"Unable to create '(?P<path>.+?\.lock)': File exists")
#: With a reftable, git's message contains no path.
_TABLE, _TABLE_IS_LOCKED = "reftable/tables.list.lock", "cannot lock references"
_OURS = re.compile(rf"/refs/(heads/)?{BRANCHES}(-kept)?/")


def path_of(errors: str) -> str:
    """Return the path of the lock that git could not acquire; "" if the command failed otherwise.

    ``errors``: git's error output.
    """
    found = _HELD.search(errors)
    return found["path"] if found else ""


def in_words(errors: str) -> str:
    """Return advice about the lock that blocked git; "" if the command failed for another
    reason.
    """
    path = path_of(errors)
    if not path and _TABLE_IS_LOCKED not in errors:
        return ""
    what = quote(path) if path else f'"$(git rev-parse --git-common-dir)/{_TABLE}"'
    return (
        f"{path or _TABLE} exists: another git process is running in the repository, or was "
        f"killed; if none is running: `rm {what}`, then retry"
    )


def is_gone(errors: str) -> bool:
    """Remove a leftover lock of the orchestrator's own refs. Return True if a retry can succeed.

    Only the server and its workers write these refs, so the user's own git cannot hold the lock.
    """
    path = path_of(errors)
    if not _OURS.search(path) or os.path.isdir(path):
        return False
    before = _seen(path)
    clear([path])
    return before is None or _seen(path) != before


def clear(paths: Iterable[str]) -> None:
    """Remove the locks that do not change for LEFT_SECONDS. Their owner is assumed to have
    exited.
    """
    before = {path: _seen(path) for path in paths}
    if not before:
        return
    time.sleep(LEFT_SECONDS)
    for path, seen in before.items():
        if seen is not None and _seen(path) == seen:
            with suppress(OSError):
                os.unlink(path)


def _seen(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
