"""Held-back files: new files that are not committed, because they do not belong in the history.

Examples are dependencies, environments, caches, core dumps, and large files. Held-back files stay
in the worktree, and are reported. A file that the worker's start commit tracks is never held back.
"""

import json
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, field
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import (
    MOST_STORED,
    HeldBack,
    HeldBackRule,
    is_delivered,
    normalized,
)
from orchestrator.core.text.path_patterns import literal, matches
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.staged_entries import LINK, Staged
from orchestrator.security.files.json_file import read_object

#: Name of the file with the list of held-back files. The file is in the worktree's git directory
#: (``.git/worktrees/NAME``).
NAME = "orchestrator-held-back"
_MOST_BYTES = 1 << 20
#: Files whose presence marks a directory as an environment or a cache.
_MARKS = {"pyvenv.cfg": HeldBackRule.ENVIRONMENT, "CACHEDIR.TAG": HeldBackRule.CACHE}
_CACHE = b"Signature: 8a477f597d28d172789f06886806bc55"
#: Properties of a core dump: minimum size, first bytes (ELF), and position and value of the file
#: type.
_LEAST_CORE, _ELF, _TYPE_AT, _ELF_CORE = 4096, b"\x7fELF", 16, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class NeverCommit:
    """Rules that decide which new files stay uncommitted. Patterns have the form of `.gitignore`.

    If there are no patterns, files are held back only because of their size.
    """

    patterns: tuple[str, ...] = ()
    #: Maximum size of a committed file, in bytes; 0: no limit. Larger files are held back.
    over: int = 0


#: Rules that hold back no file.
NOTHING = NeverCommit()


@dataclass(frozen=True, slots=True)
class _HeldPath:
    """A new file or directory that is held back, with the rule for it."""

    path: str
    rule: HeldBackRule


@dataclass(slots=True)
class HeldFiles:
    #: Paths to remove from the index.
    files: list[str] = field(default_factory=list)
    #: The same files for reports: one entry for each file or directory that a rule holds back.
    held_back: list[HeldBack] = field(default_factory=list)


def held(
    git: Git,
    never: NeverCommit,
    start: str,
    staged: Iterable[Staged],
    promised: Sequence[str] = (),
) -> HeldFiles:
    """Return the files to hold back: new files in ``staged`` that match a rule of ``never``.

    ``start``: the worker's start commit; files and directories of this commit are not held back.
    ``promised``: paths that the task promises; promised files are committed.
    """
    new = [each.path for each in staged if each.is_new and not each.is_gone and each.mode != LINK]
    held_paths = _HeldPaths(git.directory, never, new)
    files_by_held_path: dict[_HeldPath, list[str]] = {}
    for path in new:
        held_path = held_paths.held_path_of(path)
        if held_path is not None and not _is_promised(held_path, path, promised, never):
            files_by_held_path.setdefault(held_path, []).append(path)
    if not files_by_held_path:
        return HeldFiles()
    paths = [held_path.path for held_path in files_by_held_path]
    listed = git.run("ls-tree", "-z", "--name-only", start, "--", *paths, accept=(0, 128))
    tracked = set(listed.fields)
    result = HeldFiles()
    for held_path, files in files_by_held_path.items():
        if held_path.path not in tracked:
            result.files += files
            size = sum(_size(f"{git.directory}/{each}") for each in files)
            result.held_back.append(
                HeldBack(path=held_path.path, rule=held_path.rule, files=len(files), size=size)
            )
    return result


class _HeldPaths:
    """Finds the rule that holds a file back: a rule for the file, or for a parent directory."""

    def __init__(self, top: str, never: NeverCommit, new: Sequence[str]) -> None:
        self._top = top
        self._never = never
        self._marked = dict(self._marked_directories(new)) if never.patterns else {}
        self._known: dict[str, _HeldPath | None] = {"": None}

    def _marked_directories(self, new: Sequence[str]) -> Iterator[tuple[str, HeldBackRule]]:
        for path in new:
            directory, name = posixpath.split(path)
            rule = _MARKS.get(name)
            if directory and rule and (rule is not HeldBackRule.CACHE or self._is_cache(path)):
                yield directory, rule

    def _is_cache(self, path: str) -> bool:
        return _first_bytes(f"{self._top}/{path}", len(_CACHE)) == _CACHE

    def held_path_of(self, path: str) -> _HeldPath | None:
        above = self._held_path_above(posixpath.dirname(path))
        if above is not None:
            return above
        if matches(path, self._never.patterns):
            return _HeldPath(path, HeldBackRule.NAME)
        rule = self._rule_by_content(f"{self._top}/{path}")
        return _HeldPath(path, rule) if rule else None

    def _held_path_above(self, directory: str) -> _HeldPath | None:
        if directory not in self._known:
            above = self._held_path_above(posixpath.dirname(directory))
            self._known[directory] = above or self._held_path_at(directory)
        return self._known[directory]

    def _held_path_at(self, directory: str) -> _HeldPath | None:
        if matches(f"{directory}/", self._never.patterns):
            return _HeldPath(directory, HeldBackRule.NAME)
        rule = self._marked.get(directory)
        return _HeldPath(directory, rule) if rule else None

    def _rule_by_content(self, place: str) -> HeldBackRule | None:
        size = _size(place)
        if self._never.patterns and size >= _LEAST_CORE and _is_core(place):
            return HeldBackRule.CORE
        return HeldBackRule.SIZE if 0 < self._never.over < size else None


def _size(place: str) -> int:
    with suppress(OSError):
        status = os.lstat(place)
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    return 0


def _first_bytes(place: str, count: int) -> bytes:
    with suppress(OSError), open(place, "rb") as file:
        return file.read(count)
    return b""


def _is_core(place: str) -> bool:
    begin = _first_bytes(place, _TYPE_AT + 2)
    kind = begin[_TYPE_AT : _TYPE_AT + 2]
    return begin.startswith(_ELF) and _ELF_CORE in kind and sum(kind) == _ELF_CORE


def _is_promised(
    held_path: _HeldPath, path: str, promised: Sequence[str], never: NeverCommit
) -> bool:
    """True if the task promises the file.

    A promised directory includes its installed packages and caches only if a pattern of ``never``
    matches the promised directory itself.
    """
    for each in map(normalized, promised):
        names_it = held_path.rule.is_of_a_file or matches(f"{each}/", never.patterns)
        if each != "." and names_it and is_delivered(each, [path]):
            return True
    return False


def note(admin: Path, held_back: Sequence[HeldBack], promised: Sequence[str]) -> None:
    """Save the held-back files and promised paths. Gates and later commits read them.

    ``admin``: the worktree's git directory (``.git/worktrees/NAME``).
    """
    place = admin / NAME
    if held_back or promised:
        listed = [asdict(each) for each in held_back[:MOST_STORED]]
        place.write_text(json.dumps({"found": listed, "promised": list(promised)}), "utf-8")
    else:
        place.unlink(missing_ok=True)


def noted(admin: Path) -> tuple[tuple[HeldBack, ...], tuple[str, ...]]:
    """Return the held-back files and promised paths that ``note`` saved.

    Both are empty if nothing was saved, or if the saved values are unreadable.
    """
    saved = read_object(admin / NAME, _MOST_BYTES) or {}
    try:
        listed = saved.get("found", ())
        held_back = (HeldBack(**{**each, "rule": HeldBackRule(each["rule"])}) for each in listed)
        return tuple(held_back), tuple(map(str, saved.get("promised", ())))
    except (ValueError, TypeError, KeyError):
        return (), ()


def clean_exclusions(admin: Path) -> list[str]:
    """Return options that make ``git clean`` keep held-back files.

    The files stay in the worktree, because the worker's checks may need them again.
    """
    return [f"--exclude=/{literal(each.path)}" for each in noted(admin)[0]]
