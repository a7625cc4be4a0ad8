"""Tracked files of the user's checkout that may describe packages, from git's index."""

import os
import threading
import time
from collections.abc import Sequence

from orchestrator.git.command.runner import Git
from orchestrator.git.command.sessions import Stamp, shared_part, stamp_of

#: An index that was written this many seconds ago may change without a visible difference.
_SETTLED_SECONDS = 0.1
_MOST_KEPT = 16

_kept: dict[str, tuple[Stamp, Sequence[str]]] = {}
_guard = threading.Lock()


def tracked(checkout: Git, names: Sequence[str]) -> Sequence[str]:
    """Return tracked files with one of the names.

    The answer is cached while the index is unchanged.
    """
    part = shared_part(checkout.directory, checkout.env)
    index = f"{part.common}/{part.head}index" if part else ""
    began, stamp = time.time(), _stamp(index)
    with _guard:
        present = _kept.get(index)
    if present is not None and present[0] == stamp:
        return present[1]
    how = ("--no-literal-pathspecs", "ls-files", "-z", "--")
    found = checkout.run(*how, *(f":(glob)**/{each}" for each in names)).fields
    if stamp is not None and max(stamp[2:]) < (began - _SETTLED_SECONDS) * 1e9:
        with _guard:
            _kept[index] = stamp, found
            while len(_kept) > _MOST_KEPT:
                del _kept[next(iter(_kept))]
    return found


def _stamp(path: str) -> Stamp | None:
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return None
