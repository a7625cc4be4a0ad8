"""Merges files that git could not merge: line by line, or by selecting the version of one side."""

import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import ConflictText, LostHunk, MergeRule
from orchestrator.git.command import git_config
from orchestrator.git.command.runner import Git, with_nul
from orchestrator.git.commits.commit_diffs import differing_paths
from orchestrator.git.merge import union
from orchestrator.git.merge.conflicts import Entry, Side, entries_at
from orchestrator.git.merge.hunks import (
    Edit,
    Hunk,
    HunkKind,
    Lines,
    Span,
    edits_of,
    hunks,
    key,
    lines_of,
)

#: Maximum size of a file that is merged by hunks, in bytes. A larger file is merged as a whole.
MOST_BYTES = 8 * 2**20
#: Maximum number of lines of a lost hunk that are shown, and maximum characters of each line.
SHOWN_LINES, SHOWN_CHARACTERS = 3, 120
#: Number of bytes at a file's beginning that are searched for a zero byte. As in git, a file with a
#: zero byte is not text.
_BEGINNING = 8000
_REGULAR = ("100644", "100755")
#: Options that make the output independent of the user's configuration.
_DIFF = (
    *("--no-index", "--no-ext-diff", "--no-textconv", "--text", "--unified=0", "--no-color"),
    *("--diff-algorithm=histogram", "--no-indent-heuristic", "--inter-hunk-context=0"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--no-renames"),
)


#: A function that returns True if the merge may keep the lines of both sides. Its arguments are the
#: path, and True if both sides created the file.
Unites = Callable[[str, bool], bool]


@dataclass(frozen=True, slots=True)
class ConflictedFile:
    """A conflicting file whose content is text on both sides.

    ``base`` is None if both sides created the file.
    """

    path: str
    mode: str
    #: True if both sides have the same mode.
    mode_agrees: bool
    base: bytes | None
    ours: bytes
    theirs: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """Merged content of a file with a conflict. If ``text`` is None, git's own result stays."""

    path: str
    mode: str
    text: bytes | None
    way: MergeRule | None = None
    #: Hunks of ours that the merged file lacks.
    lost: tuple[LostHunk, ...] = ()


def contents(
    git: Git, tree: str, sides: Sequence[Side], *, unites: Unites, forces: bool
) -> Iterator[Content]:
    """Yield the merged content of each file whose text conflicts. ``tree`` is git's merged tree.

    The lines of both sides are kept if ``unites`` returns True for the file, and if both sides only
    added lines at the conflicting places. ``forces``: True to select the lines of ``theirs`` in all
    other conflicts, except in a file that both sides created.
    """
    files = list(_conflicted_files(git, tree, sides))
    ours, theirs = _edits(git, files)
    for number, file in enumerate(files):
        both = (ours.get(number, []), theirs.get(number, []))
        may_unite = unites(file.path, file.base is None)
        yield _Merger(file, both, unites=may_unite, forces=forces).content()


def texts_of(git: Git, tree: str, sides: Sequence[Side]) -> Iterator[ConflictText]:
    """Yield each conflicting place of the files that are text on both sides."""
    files = list(_conflicted_files(git, tree, sides))
    ours, theirs = _edits(git, files)
    for number, file in enumerate(files):
        both = (ours.get(number, []), theirs.get(number, []))
        yield from _Merger(file, both, unites=False, forces=False).conflict_texts()


def write_blobs(git: Git, contents: Iterable[Content]) -> list[Entry]:
    """Write the merged texts to the repository as blobs. Return tree entries for the blobs."""
    with_text = [(each, each.text) for each in contents if each.text is not None]
    with tempfile.TemporaryDirectory(prefix="orchestrator-merge-") as name:
        paths = [Path(name, str(number)) for number in range(len(with_text))]
        for path, (_, text) in zip(paths, with_text, strict=True):
            path.write_bytes(text)
        path_lines = os.fsencode("".join(f"{path}\n" for path in paths))
        blobs = git.run("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=path_lines).text
    pairs = zip(with_text, blobs.split(), strict=True)
    return [(each.mode, blob, each.path) for (each, _), blob in pairs]


class _Merger:
    def __init__(
        self, file: ConflictedFile, edits: Sequence[list[Edit]], *, unites: bool, forces: bool
    ) -> None:
        self._file = file
        self._base = lines_of(file.base or b"")
        self._ours, self._theirs = lines_of(file.ours), lines_of(file.theirs)
        if file.base is None:
            edits = [_all_lines(self._ours), _all_lines(self._theirs)]
        self._hunks = list(hunks(self._base, self._ours, self._theirs, edits))
        self._unites = unites
        self._forces = forces
        self._differs_at_ends = False

    def content(self) -> Content:
        conflicts = [each for each in self._hunks if each.kind is HunkKind.CONFLICT]
        unites = self._unites and all(each.only_adds for each in conflicts)
        text = self._text(unites)
        unresolved = Content(self._file.path, self._file.mode, None)
        if not conflicts:
            # Without ``forces``, only differences at line ends are resolved here. If git found a
            # conflict for another reason, the conflict stays.
            way = MergeRule.LINE_ENDS if self._differs_at_ends and self._file.mode_agrees else None
            return self._content(text, way) if way or self._forces else unresolved
        if unites and self._file.mode_agrees:
            sides = (self._file.ours, self._file.theirs)
            if union.is_sound(self._file.path, text, sides):
                return self._content(text, MergeRule.UNION)
        if not self._forces or self._file.base is None:
            # If both sides created the file, return no text. The caller then uses the whole
            # ``theirs`` version. If ours renamed another file to this path, the caller also
            # restores the ``theirs`` version of that file at its old path.
            return unresolved
        lost = tuple(self._lost_hunk(each) for each in conflicts)
        return self._content(self._text(unites=False), None, lost)

    def conflict_texts(self) -> Iterator[ConflictText]:
        for hunk in self._hunks:
            if hunk.kind is HunkKind.CONFLICT:
                yield ConflictText(
                    path=self._file.path,
                    line=hunk.ours[0] + 1,
                    base=_decoded(self._base[slice(*hunk.base)]),
                    ours=_decoded(self._ours[slice(*hunk.ours)]),
                    theirs=_decoded(self._theirs[slice(*hunk.theirs)]),
                )

    def _content(
        self, text: bytes, way: MergeRule | None, lost: tuple[LostHunk, ...] = ()
    ) -> Content:
        return Content(self._file.path, self._file.mode, text, way, lost)

    def _text(self, unites: bool) -> bytes:
        lines = [line for hunk in self._hunks for line in self._lines(hunk, unites)]
        return _joined(lines, self._line_end(), [self._base, self._ours, self._theirs])

    def _lines(self, hunk: Hunk, unites: bool) -> Iterable[bytes]:
        ours, theirs = self._ours[slice(*hunk.ours)], self._theirs[slice(*hunk.theirs)]
        if hunk.kind is HunkKind.SAME:
            return [*self._unchanged(self._base[slice(*hunk.base)], ours, theirs)]
        if hunk.kind is HunkKind.THEIRS:
            self._note_ends(self._base[slice(*hunk.base)], ours)
            return theirs
        if hunk.kind is HunkKind.CONFLICT:
            return union.united(self._file.path, ours, theirs) if unites else theirs
        if hunk.kind is HunkKind.BOTH:
            self._note_ends(theirs, ours)
        else:
            self._note_ends(self._base[slice(*hunk.base)], theirs)
        return ours

    def _unchanged(self, base: Lines, ours: Lines, theirs: Lines) -> Iterator[bytes]:
        for before, mine, other in zip(base, ours, theirs, strict=True):
            self._note_ends([before, before], [mine, other])
            yield other if mine == before else mine

    def _note_ends(self, some: Lines, others: Lines) -> None:
        for one, other in zip(some, others, strict=False):
            differs = one.rstrip(b"\n") != other.rstrip(b"\n") and key(one) == key(other)
            self._differs_at_ends = self._differs_at_ends or differs

    def _line_end(self) -> bytes | None:
        """Return the line end that all lines get; None if each line keeps its line end."""
        base, ours, theirs = map(_line_end, (self._base, self._ours, self._theirs))
        return theirs if ours == base else ours

    def _lost_hunk(self, hunk: Hunk) -> LostHunk:
        ours = self._ours[slice(*hunk.ours)]
        first, last = _differing_span(ours, self._theirs[slice(*hunk.theirs)])
        if first < last:
            start = hunk.ours[0]
            return LostHunk(
                first=start + first + 1, last=start + last, text=_shown_lines(ours[first:last])
            )
        low, high = hunk.base
        text = _shown_lines(self._base[low:high])
        return LostHunk(first=low + 1, last=high, removed=True, text=text)


def _differing_span(ours: Lines, theirs: Lines) -> Span:
    """Return the lines of ``ours`` that differ from ``theirs``, as a span.

    The span begins after the first lines that are equal, and ends before the last lines that are
    equal.
    """
    mine, others = [*map(key, ours)], [*map(key, theirs)]
    least, first = min(len(mine), len(others)), 0
    while first < least and mine[first] == others[first]:
        first += 1
    same = 0
    while same < least - first and mine[-1 - same] == others[-1 - same]:
        same += 1
    return first, len(mine) - same


def _shown_lines(lines: Lines) -> tuple[str, ...]:
    texts = (key(each).decode("utf-8", "replace") for each in lines if key(each))
    return tuple(text[:SHOWN_CHARACTERS] for text in islice(texts, SHOWN_LINES))


def _decoded(lines: Lines) -> str:
    return b"".join(lines).decode("utf-8", "replace")


def _joined(lines: Sequence[bytes], line_end: bytes | None, texts: Sequence[Lines]) -> bytes:
    if not lines:
        return b""
    usual = line_end or b"\n"
    joined = [
        line.rstrip(b"\r\n") + usual if line_end or not line.endswith(b"\n") else line
        for line in lines
    ]
    open_ended = not any(text and text[-1].endswith(b"\n") for text in texts)
    if open_ended:
        joined[-1] = joined[-1].rstrip(b"\r\n")
    return b"".join(joined)


def _line_end(lines: Lines) -> bytes | None:
    ends = {b"\r\n" if line.endswith(b"\r\n") else b"\n" for line in lines if line.endswith(b"\n")}
    return ends.pop() if len(ends) == 1 else None


def _all_lines(lines: Lines) -> list[Edit]:
    return [((0, 0), (0, len(lines)))] if lines else []


def _conflicted_files(git: Git, tree: str, sides: Sequence[Side]) -> Iterator[ConflictedFile]:
    stages: dict[str, dict[int, tuple[str, str]]] = {}
    for mode, blob, stage, path in sides:
        stages.setdefault(path, {})[stage] = mode, blob
    files = {path: each for path, each in stages.items() if _is_regular(each)}
    places = {path for mode, _, path in entries_at(git, tree, [*files]) if mode in _REGULAR}
    files = {path: each for path, each in files.items() if path in places}
    special = _paths_with_drivers(git, [*files])
    blob_texts = _texts_of_blobs(
        git, {blob for each in files.values() for _, blob in each.values()}
    )
    for path, each in files.items():
        texts = {stage: blob_texts[blob] for stage, (_, blob) in each.items() if blob in blob_texts}
        if path not in special and texts.keys() == each.keys():
            mode, agrees = _merged_mode(each)
            yield ConflictedFile(path, mode, agrees, texts.get(1), texts[2], texts[3])


def _is_regular(stages: Mapping[int, tuple[str, str]]) -> bool:
    return {2, 3} <= stages.keys() and all(mode in _REGULAR for mode, _ in stages.values())


def _merged_mode(stages: Mapping[int, tuple[str, str]]) -> tuple[str, bool]:
    base, ours, theirs = (stages.get(stage, ("",))[0] for stage in (1, 2, 3))
    if ours == base:
        return theirs, True
    return (ours, True) if theirs in (ours, base) else (theirs, False)


def _texts_of_blobs(git: Git, blobs: Collection[str]) -> dict[str, bytes]:
    """Return texts by blob id. Binary files and files that are too large are omitted."""
    request = "".join(f"{blob}\n" for blob in sorted(blobs)).encode()
    lines = git.run("cat-file", "--batch-check", stdin=request).text.splitlines()
    sizes = {words[0]: int(words[2]) for words in map(str.split, lines) if words[1] == "blob"}
    small = [blob for blob, size in sizes.items() if size <= MOST_BYTES]
    output = git.run(
        "cat-file", "--batch", stdin="".join(f"{each}\n" for each in small).encode()
    ).out
    texts, position = {}, 0
    for blob in small:
        start = output.index(b"\n", position) + 1
        position = start + sizes[blob] + 1
        content = output[start : position - 1]
        if b"\0" not in content[:_BEGINNING]:
            texts[blob] = content
    return texts


def _paths_with_drivers(git: Git, paths: Sequence[str]) -> set[str]:
    """Return the paths for which the repository's attributes name a merge driver."""
    usual = ("unspecified", "set", "text")
    return {path for path, driver in _drivers_of(git, paths) if driver not in usual}


def _drivers_of(git: Git, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    fields = git.run("check-attr", "-z", "--stdin", "merge", stdin=with_nul(paths)).fields
    return zip(fields[::3], fields[2::3], strict=True)


_DRIVERS = re.compile(rb"^merge\.(.*)\.driver\n")


def merged_by_drivers(git: Git, ours: str, theirs: str) -> list[str]:
    """Return the files that both commits changed, and that a configured merge driver merges."""
    drivers = _configured_drivers(git)
    base = git.ask("merge-base", ours, theirs) if drivers else ""
    if not base:
        return []
    pairs = ((base, ours), (base, theirs), (ours, theirs))
    paths = set.intersection(*({path for _, path in differing_paths(git, *each)} for each in pairs))
    return sorted(path for path, driver in _drivers_of(git, paths) if driver in drivers)


def merged_by_drivers_since(git: Git, start: str, tip: str) -> list[str]:
    """Return the files of ``merged_by_drivers`` for all merge commits in ``start..tip``.

    Each file has a configured merge driver, and both parents of a merge commit changed the file.
    The files are sorted. Without a configured merge driver, no git process is started.
    """
    if not _configured_drivers(git):
        return []
    options = ("--merges", "--max-parents=2", "--parents", tip, f"^{start}", "--")
    merges = map(str.split, git.run("rev-list", *options).text.splitlines())
    return sorted(
        {path for _, ours, theirs in merges for path in merged_by_drivers(git, ours, theirs)}
    )


def _configured_drivers(git: Git) -> set[str]:
    matches = map(_DRIVERS.match, git_config.all_settings(git))
    return {os.fsdecode(each[1]) for each in matches if each}


def _edits(git: Git, files: Sequence[ConflictedFile]) -> tuple[dict[int, list[Edit]], ...]:
    """Return one mapping for each side: the side's edits, by the index of the file in ``files``.

    Differences in line ends do not count.
    """
    with tempfile.TemporaryDirectory(prefix="orchestrator-merge-") as name:
        folder = Path(name)
        for side in ("base", "ours", "theirs"):
            (folder / side).mkdir()
            for number, file in enumerate(files):
                content = getattr(file, side) or b""
                text = b"".join(key(line) + b"\n" for line in lines_of(content))
                (folder / side / str(number)).write_bytes(text)
        return tuple(_diffs(Git(name, git.env), side) for side in ("ours", "theirs"))


def _diffs(git: Git, side: str) -> dict[int, list[Edit]]:
    diff = git.run("diff", *_DIFF, "base", side, accept=(0, 1)).out
    edits: dict[int, list[Edit]] = {}
    for part in (b"\n" + diff).split(b"\ndiff --git ")[1:]:
        number = part.split(b"\n", 1)[0].rpartition(b"/")[2]
        edits[int(number)] = edits_of(part)
    return edits
