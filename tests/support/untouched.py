"""Fingerprints of the user's files in a checkout and in its ``.git`` directory."""

import hashlib
import os
import stat
from collections.abc import Iterator

#: Paths below ``.git`` that the product may write.
OURS = (
    b"refs/orchestrator",
    b"refs/orchestrator-kept",
    b"refs/heads/orchestrator",
    b"logs/refs/orchestrator",
    b"logs/refs/heads/orchestrator",
    b"worktrees",
    b"info",
)


def fingerprint(top: str | os.PathLike[str], git_directory: str = ".git") -> dict[bytes, str]:
    """Return mode, time, and content of every file, link, and directory of a checkout, by path.

    ``product/`` and the product's own files in ``.git`` are excluded.
    """
    root = os.fsencode(top)
    admin = os.path.join(root, os.fsencode(git_directory))
    found = {}
    for path in _all(root):
        inside = os.path.relpath(path, root)
        if inside.split(b"/")[0] == b"product":
            continue
        if path == admin or path.startswith(admin + b"/"):
            within = os.path.relpath(path, admin)
            if within == b"." or any(within == o or within.startswith(o + b"/") for o in OURS):
                continue
            if os.path.isdir(path):
                continue
            found[b".git:" + within] = _seen(path, times=False)
        else:
            found[inside] = _seen(path, times=True)
    return found


def differences(before: dict[bytes, str], after: dict[bytes, str]) -> list[bytes]:
    """Return the paths whose fingerprints differ. New git objects are no difference."""
    names = sorted({*before, *after})
    changed = [name for name in names if before.get(name) != after.get(name)]
    return [n for n in changed if not (n.startswith(b".git:objects/") and n not in before)]


def _all(root: bytes) -> Iterator[bytes]:
    for parent, directories, files in os.walk(root):
        for name in (*directories, *files):
            yield os.path.join(parent, name)


def _seen(path: bytes, *, times: bool) -> str:
    at = os.lstat(path)
    when = f" {at.st_mtime_ns}" if times and not stat.S_ISDIR(at.st_mode) else ""
    if stat.S_ISLNK(at.st_mode):
        return f"{at.st_mode:o} -> {os.fsdecode(os.readlink(path))}{when}"
    if not stat.S_ISREG(at.st_mode):
        return f"{at.st_mode:o}"
    with open(path, "rb") as file:
        return f"{at.st_mode:o} {hashlib.sha256(file.read()).hexdigest()}{when}"
