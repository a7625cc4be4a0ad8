"""The output of ``git status`` for the user's checkout, cached until a file changes.

Each job needs the output at the start, after each attempt, and at the end.
"""

import os
import time
from collections.abc import Collection, Iterator, Sequence

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command import git_config
from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.file_stamps import FileStamps, are_older, stamps
from orchestrator.git.command.git_config import CACHE_SECONDS, SETTLED_SECONDS
from orchestrator.git.command.git_sessions import Stamp, shared_part, stamp_at
from orchestrator.git.command.runner import Git, has_lfs

_HOW = ("--porcelain=v2", "-z", "--untracked-files=all", "--ignored=matching", "--no-renames")
#: Maximum size of the index of a checkout whose status is cached, in bytes. With a larger index,
#: comparing the stamps of all files takes as long as ``git status``.
_MOST_INDEX_BYTES = 128 * 1024
_MOST_CACHED = 16
#: Files in the repository's directory that decide which files git ignores, or how git compares
#: files.
_DECIDING = ("info/exclude", "info/attributes", "info/sparse-checkout")
#: Settings that make git read further files. The output is not cached if such a setting is set.
_UNUSUAL = (
    *(b"core.sparsecheckout\n", b"core.worktree\n", b"include.", b"includeif."),
    *(b"core.excludesfile\n%", b"core.attributesfile\n%"),
)
#: Settings that name a file with ignore rules or attributes.
_NAMING = (b"core.excludesfile", b"core.attributesfile")
_IGNORED = "! "


@dataclass(frozen=True, slots=True)
class _State:
    """Everything on which the output of ``git status`` depends."""

    commit: str
    settings: Sequence[bytes]
    has_lfs: bool
    #: Stamps of the index, and of the files with ignore rules or attributes.
    rules: Sequence[Stamp | None]
    #: Directories whose content was not read: ignored directories, and the product's own folders.
    without: Collection[str]
    files: FileStamps

    def is_settled(self, read_at: float) -> bool:
        """True if the last change of every file is more than SETTLED_SECONDS before ``read_at``.

        ``read_at``: Unix time. Two changes within SETTLED_SECONDS may give a file the same times,
        so that the second change would not be noticed.
        """
        limit = int((read_at - SETTLED_SECONDS) * 1e9)
        rules = (max(each[2:]) for each in self.rules if each)
        return all(each < limit for each in rules) and are_older(self.files, limit)


@dataclass(frozen=True, slots=True)
class _CachedStatus:
    until: float
    #: State of the checkout when ``fields`` were read; None if ``fields`` must not be used again,
    #: because the state was too complex, or because a file had just changed.
    state: _State | None
    fields: Sequence[str]


_cached_statuses = BoundedCache[str, _CachedStatus](_MOST_CACHED)


def status(git: Git, top: str, ours: Sequence[str]) -> Sequence[str]:
    """Return the entries of ``git status`` for files. Entries for whole directories are omitted.

    The result is empty if git fails. ``ours``: the product's own folders, relative to ``top``.
    Entries for files in these folders may be out of date.
    """
    cached = _cached_statuses.get(top)
    fields = cached.fields if cached else ()
    began, without = time.time(), _unread_directories(fields, ours)
    state = _state(git, top, without)
    if cached is None or state is None or cached.state != state or time.monotonic() > cached.until:
        # If git fails, for example in a filter, the job must not fail. ``top`` is set as the work
        # tree, because a worker may have changed ``core.worktree`` to a huge directory.
        answer = git.run("status", *_HOW, env={"GIT_WORK_TREE": top}, accept=range(256))
        fields = answer.fields if answer.code == 0 else ()
        is_current = answer.code == 0 and _unread_directories(fields, ours) == without
        is_settled = is_current and state is not None and state.is_settled(began)
        expiry = time.monotonic() + CACHE_SECONDS
        _cached_statuses.put(top, _CachedStatus(expiry, state if is_settled else None, fields))
    # Omit entries of directories, because this module does not read a directory's content.
    return [each for each in fields if not each.endswith("/")]


def _unread_directories(fields: Sequence[str], ours: Sequence[str]) -> frozenset[str]:
    ignored = (each[2:-1] for each in fields if each.startswith(_IGNORED) and each.endswith("/"))
    return frozenset((*ignored, *ours))


def _state(git: Git, top: str, without: frozenset[str]) -> _State | None:
    """Return the state of the checkout; None if the output must not be cached."""
    part = shared_part(git.directory, git.env)
    if part is None:
        return None
    index = stamp_at(f"{part.common}/{part.head}index")
    if index is None or index[1] > _MOST_INDEX_BYTES:
        return None
    try:
        settings = tuple(git_config.all_settings(git))
    except RepositoryError:
        return None
    commit = git.resolve("HEAD")
    if not commit or any(each.startswith(_UNUSUAL) for each in settings):
        return None
    files = stamps(top, without)
    if files is None or ".gitmodules" in files:
        return None
    rules = (index, *map(stamp_at, _files_with_rules(settings, part.common, top)))
    return _State(commit, settings, has_lfs(), rules, without, files)


def _files_with_rules(settings: Sequence[bytes], common: str, top: str) -> Iterator[str]:
    yield from (f"{common}/{each}" for each in _DECIDING)
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    yield from (f"{home}/git/ignore", f"{home}/git/attributes", "/etc/gitattributes")
    pairs = (each.partition(b"\n") for each in settings)
    paths = (os.path.expanduser(os.fsdecode(path)) for name, _, path in pairs if name in _NAMING)
    yield from (os.path.join(top, each) for each in paths)


def path_of(field: str) -> str:
    """Return the path in ``field``, an entry of ``git status``.

    The entry's first character decides how many words precede the path.
    """
    words = {"?": 1, "!": 1, "1": 8, "2": 9, "u": 10}.get(field[:1], 1)
    return field.split(" ", words)[-1]
