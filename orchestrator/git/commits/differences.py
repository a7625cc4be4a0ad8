"""Paths that differ between two commits. Recent answers are cached, because they never change."""

import threading
from collections.abc import Sequence

from orchestrator.git.command.runner import Git
from orchestrator.git.command.sessions import shared_part

#: Lengths of full object names: SHA-1, SHA-256.
_LENGTHS = (40, 64)
_MOST_KEPT = 256
#: Maximum number of paths of a cached difference.
_MOST_PATHS = 500

#: Git's letter for the kind of change, and the path.
Differences = Sequence[tuple[str, str]]

_kept: dict[tuple[str, str, str], Differences] = {}
_guard = threading.Lock()


def of(git: Git, start: str, end: str) -> Differences:
    """Return each path that differs between two commits. Raise RepositoryError."""
    part = shared_part(git.directory, git.env)
    key = part.common if part else "", start, end
    with _guard:
        present = _kept.get(key)
    if present is not None:
        return present
    fields = git.run(
        "diff-tree", "--name-status", "--no-renames", "-r", "-z", start, end, "--"
    ).fields
    found = list(zip(fields[::2], fields[1::2], strict=True))
    if part and len(start) in _LENGTHS and len(end) in _LENGTHS and len(found) <= _MOST_PATHS:
        with _guard:
            _kept[key] = found
            while len(_kept) > _MOST_KEPT:
                del _kept[next(iter(_kept))]
    return found
