"""Finds changes of a child job that the parent worker undid later, and reapplies them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import chain

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import Merge, Signature, Undone, UndonePlace
from orchestrator.git.command.runner import Git
from orchestrator.git.commits import commit_creation as commits
from orchestrator.git.commits import commit_diffs
from orchestrator.git.merge import merge_tree
from orchestrator.git.merge.hunks import HEADER, header_numbers, key

#: Maximum size of a diff in bytes. If a diff is longer, files are compared as a whole.
_MOST_BYTES = 16 * 2**20
#: A hunk counts as removed if less than 1 / _LEAST_LEFT of its lines remains.
_LEAST_LEFT = 10
_WORD = re.compile(rb"\w")
_DIFF = (
    *("diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--inter-hunk-context=0"),
)
_RAW = ("--raw", "-r", "-z", "--no-renames", "--no-abbrev")
#: Mode of a file that does not exist.
_ABSENT = "000000"

#: Two texts ``<mode> <blob>`` for each path: before and after the change.
_Changes = Mapping[str, tuple[str, str]]


@dataclass(slots=True)
class _Hunk:
    #: Numbers of the first and last changed line in the new file. If lines were only removed, these
    #: numbers are of the old file.
    first: int
    last: int
    added: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)


_Hunks = Mapping[str, list[_Hunk]]


def undone(
    git: Git, base: str, result: str, tip: str, earlier: Sequence[str], others: Sequence[str]
) -> Undone:
    """Implements ``core.repository.repository.Repository.undone_changes``."""
    changes, later_changes = _changes(git, base, result), _changes(git, result, tip)
    differing = {path: later_changes[path][1] for path in changes if path in later_changes}
    if not differing:
        return Undone()
    return _Search(git, (base, result, tip), changes, earlier, others).undone(differing)


class _Search:
    def __init__(
        self,
        git: Git,
        commits: tuple[str, str, str],
        changes: _Changes,
        earlier: Sequence[str],
        others: Sequence[str],
    ) -> None:
        self._git = git
        self._base, self._result, self._tip = commits
        self._made = changes
        self._others = others
        self._earlier = [_changes(git, self._base, each) for each in earlier]
        self._hunks = _hunks(git, self._base, self._result)
        present_hunks = _hunks(git, self._base, self._tip)
        self._is_known = self._hunks is not None and present_hunks is not None
        self._added = {
            key(line)
            for each in chain.from_iterable((present_hunks or {}).values())
            for line in each.added
        }
        self._removed = {
            path: {key(line) for each in file_hunks for line in each.removed}
            for path, file_hunks in (present_hunks or {}).items()
        }

    def undone(self, differing: Mapping[str, str]) -> Undone:
        moved = {old for old, _ in commit_diffs.moved(self._git, self._result, self._tip).values()}
        places: list[UndonePlace] = []
        restored = 0
        for path, entry in differing.items():
            undone_places = [] if path in moved else list(self._places(path, entry))
            places += undone_places
            restored += bool(undone_places) and self._is_as_before(path, entry)
        is_whole = restored == len(self._made) and not self._was_removed_on_purpose()
        return Undone(places=tuple(places), whole=is_whole)

    def _places(self, path: str, entry: str) -> Iterator[UndonePlace]:
        before, after = self._made[path]
        hunks = (self._hunks or {}).get(path, [])
        if self._is_as_before(path, entry) or _is_absent(entry):
            if self._were_moved(hunks):
                return
            undone = hunks
        elif not hunks or not self._is_known:
            is_text = path in self._removed
            if self._is_known and not is_text and _blob(entry) != _blob(after):
                yield UndonePlace(path=path)
            return
        else:
            undone = [each for each in hunks if self._is_gone(path, each)]
        is_new_or_gone = any(map(_is_absent, (before, after, entry)))
        if not hunks or (is_new_or_gone and len(undone) == len(hunks)):
            yield UndonePlace(path=path)
            return
        yield from (UndonePlace(path=path, first=each.first, last=each.last) for each in undone)

    def _is_as_before(self, path: str, entry: str) -> bool:
        before = self._made[path][0]
        return entry == before or any(
            entry == each.get(path, ("", before))[1] for each in self._earlier
        )

    def _were_moved(self, hunks: Iterable[_Hunk]) -> bool:
        """True if the branch adds at least half of the hunks' lines, possibly in another file.

        If so, the worker has moved these lines, and not undone them.
        """
        lines = list(_comparable(line for each in hunks for line in each.added))
        return bool(lines) and 2 * sum(each in self._added for each in lines) >= len(lines)

    def _is_gone(self, path: str, hunk: _Hunk) -> bool:
        added, removed = list(_comparable(hunk.added)), list(_comparable(hunk.removed))
        still_removed = self._removed.get(path, set())
        remaining = sum(each in self._added for each in added)
        remaining += sum(each in still_removed for each in removed)
        return remaining * _LEAST_LEFT < len(added) + len(removed)

    def _was_removed_on_purpose(self) -> bool:
        # True if a commit of the worker or another child job changed the file, so that the change
        # was removed on purpose.
        log = ("log", "--first-parent", "--format=", *_RAW, self._tip, f"^{self._base}", "--")
        spans = (each.split("..") for each in self._others)
        steps = [_parsed_entries(self._git.run(*log).fields)]
        steps += [_parsed_entries(_diff_tree(self._git, *each)) for each in spans]
        return any(
            path in self._made and old == self._made[path][1]
            for each in steps
            for path, old, _ in each
        )


def reapplied(
    git: Git, base: str, result: str, tip: str, message: str, signature: Signature, *, force: bool
) -> Merge:
    """Reapply the changes that a worker undid. Implements ``Repository.reapply``.

    Git does not merge a commit twice. Therefore this function merges copies of the commits, which
    have no common history with the originals.
    """
    base_copy = _copy(git, base, tip, message, signature)
    ours, theirs = (_copy(git, each, base_copy, message, signature) for each in (tip, result))
    merged = merge_tree.merge(
        git, ours, theirs, message, signature, merge_tree.MergeOptions(force=force)
    )
    if not merged.commit:
        return merged
    tree = commits.tree_of(git, merged.commit)
    if tree == commits.tree_of(git, tip):
        return replace(merged, commit=tip)
    commit = commits.commit_tree(git, tree, [tip, result], message, signature)
    return replace(merged, commit=commit)


def _copy(git: Git, commit: str, parent: str, message: str, signature: Signature) -> str:
    return commits.commit_tree(git, commits.tree_of(git, commit), [parent], message, signature)


def _changes(git: Git, start: str, end: str) -> _Changes:
    return {path: (old, new) for path, old, new in _parsed_entries(_diff_tree(git, start, end))}


def _diff_tree(git: Git, start: str, end: str) -> list[str]:
    return git.run("diff-tree", *_RAW, start, end, "--").fields


def _parsed_entries(fields: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    nonempty = iter([each for each in fields if each.strip()])
    for header, path in zip(nonempty, nonempty, strict=True):
        old_mode, new_mode, old, new, _ = header.strip().lstrip(":").split(" ")
        yield path, f"{old_mode} {old}", f"{new_mode} {new}"


def _is_absent(entry: str) -> bool:
    return entry.startswith(_ABSENT)


def _blob(entry: str) -> str:
    return entry.split(" ")[1]


def _comparable(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each line that has a letter or a digit, in the form in which lines are compared."""
    return (key(each) for each in lines if _WORD.search(each))


def _hunks(git: Git, start: str, end: str) -> _Hunks | None:
    """Return the hunks of text files, by path; None if the diff is too long."""
    pieces, size = [], 0
    for piece in git.streamed(*_DIFF, start, end, "--"):
        pieces.append(piece)
        size += len(piece)
        if size > _MOST_BYTES:
            return None
    return _parsed_diff(b"".join(pieces).split(b"\n"))


def _parsed_diff(lines: list[bytes]) -> _Hunks:
    hunks: dict[str, list[_Hunk]] = {}
    old = path = b""
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith(b"--- "):
            old = line
        elif line.startswith(b"+++ "):
            # Git ends a file name that has blanks with a tab.
            name = old if line == b"+++ /dev/null" else line
            path = name[len(b"+++ a/") :].removesuffix(b"\t")
        elif match := HEADER.match(line):
            hunk, position = _hunk(header_numbers(match), lines, position)
            hunks.setdefault(path.decode(errors="surrogateescape"), []).append(hunk)
    return hunks


def _hunk(numbers: Sequence[int], lines: Sequence[bytes], position: int) -> tuple[_Hunk, int]:
    old_first, old_count, first, count = numbers
    begin, length = (first, count) if count else (old_first, old_count)
    hunk = _Hunk(begin, begin + length - 1)
    remaining = old_count + count
    while remaining and position < len(lines):
        line = lines[position]
        if line.startswith((b"-", b"+")):
            (hunk.added if line.startswith(b"+") else hunk.removed).append(line[1:])
            remaining -= 1
        position += 1
    return hunk, position
