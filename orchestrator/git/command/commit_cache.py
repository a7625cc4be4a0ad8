"""Cache of the commits that git read a moment ago, and of the refs that name such a commit.

A job reads the same few refs about 30 times. Reading a ref's file is faster than a request to a git
session.
"""

import os
import re
import stat
import time
from collections.abc import Callable

from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.git_sessions import AGE_SECONDS, SharedPart
from orchestrator.security.files.untrusted_files import read_regular

#: Matches the names that this module reads: HEAD, or a full ref name without special characters.
_NAME = re.compile(
    r"(?P<ref>(?:worktrees/[\w-][\w.-]*/)?HEAD|refs(?:/[\w-][\w.-]*)+)(?:\^\{commit\})?", re.ASCII
)
_OBJECT_ID = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64})\n?")
_SYMBOLIC = b"ref: "
#: Maximum size of a file of a ref, in bytes.
_LONGEST = 4096
#: Maximum size of a file of packed refs that is searched, in bytes. For a larger file, a git
#: session is faster.
_MOST_PACKED = 64 * 1024
_MOST_CACHED = 1024


class _Unknown(Exception):
    """Raised if only git can find the commit of a ref."""


class CommitCache:
    """The commits that git has read in the last AGE_SECONDS. Any thread may call.

    A commit that was removed from the repository is still found for at most AGE_SECONDS. A git
    session also finds removed commits for a while.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: {(shared directory, commit): time when git last read the commit}.
        self._read = BoundedCache[tuple[str, str], float](_MOST_CACHED)

    def note(self, part: SharedPart, commit: str) -> None:
        self._read.put((part.common, commit), self._clock())

    def commit_of(self, part: SharedPart, name: str) -> str | None:
        """Return the commit of a ref or of HEAD; "" if the ref does not exist.

        Return None if only git can answer. ``name``: a result of ``SharedPart.session_name``.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            commit = _commit_of(part.common, match["ref"])
        except _Unknown:
            return None
        read_at = self._read.get((part.common, commit))
        is_recent = read_at is not None and self._clock() < read_at + AGE_SECONDS
        return commit if is_recent or not commit else None


def _commit_of(common: str, ref: str) -> str:
    content = read_regular(f"{common}/{ref}", _LONGEST)
    if content is None:
        return _packed_commit(common, ref)
    if content.startswith(_SYMBOLIC) and ref.endswith("HEAD"):
        branch = os.fsdecode(content.removeprefix(_SYMBOLIC)).removesuffix("\n")
        if branch.startswith("refs/heads/") and _NAME.fullmatch(branch):
            return _commit_of(common, branch)
    if not _OBJECT_ID.fullmatch(content):
        raise _Unknown
    return content.decode("ascii").removesuffix("\n")


def _packed_commit(common: str, ref: str) -> str:
    """Return a ref's commit from the file ``packed-refs``; "" if the ref does not exist.

    Raise _Unknown if only git can answer.
    """
    # Without ``refs``, git does not recognize the repository. With ``reftable``, no ref has a file.
    if not os.path.isdir(f"{common}/refs") or os.path.lexists(f"{common}/reftable"):
        raise _Unknown
    if not ref.startswith("refs/") or not _is_directory_or_missing(f"{common}/{ref}"):
        raise _Unknown
    path = f"{common}/packed-refs"
    content = read_regular(path, _MOST_PACKED) or b""
    if len(content) >= _MOST_PACKED or (not content and os.path.lexists(path)):
        raise _Unknown
    end = content.find(f" {ref}\n".encode())
    if end < 0:
        return ""
    object_id = content[content.rfind(b"\n", 0, end) + 1 : end]
    if not _OBJECT_ID.fullmatch(object_id):
        raise _Unknown
    return object_id.decode("ascii")


def _is_directory_or_missing(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False


RECENT = CommitCache()
