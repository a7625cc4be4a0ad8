"""Conflicts of two commits: paths, markers in files, and resolution by the version of one side."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.core.repository.repository import FileConflict
from orchestrator.git.command.private_index import edited_tree
from orchestrator.git.command.runner import Git, with_nul

#: One side of a conflict: mode, blob, stage (1: common ancestor, 2: ours, 3: theirs), and path.
Side = tuple[str, str, int, str]
#: An entry of a tree: mode, object, and path.
Entry = tuple[str, str, str]
#: Maximum number of paths in a command line. With more paths, git lists all entries.
MOST_NAMED = 300


def sides_of(fields: Sequence[str], ours: str, theirs: str) -> list[Side]:
    """Parse the sides of conflicts in the output of ``merge-tree``. Return them with real paths.

    If one side has a file and the other side has a directory or a link at the same path, git names
    the file ``<path>~<commit>``. The real path is ``<path>``.
    """
    invented = re.compile(f"~({re.escape(ours)}|{re.escape(theirs)})(_[0-9]+)?$")
    return [_parsed_side(each, invented) for each in fields]


def _parsed_side(text: str, invented: re.Pattern[str]) -> Side:
    numbers, path = text.split("\t", 1)
    mode, blob, stage = numbers.split(" ")
    return mode, blob, int(stage), invented.sub("", path)


def conflicts(sides: Sequence[Side]) -> Iterator[FileConflict]:
    for path in dict.fromkeys(path for *_, path in sides):
        blobs = {stage: blob for _, blob, stage, where in sides if where == path}
        yield FileConflict(
            path=path, base=blobs.get(1, ""), ours=blobs.get(2, ""), theirs=blobs.get(3, "")
        )


def with_theirs(git: Git, tree: str, ours: str, theirs: str, sides: Sequence[Side]) -> str:
    """Return the merged tree with the ``theirs`` version at every conflicting path.

    A file that ``theirs`` removed is removed. A file that ``ours`` renamed keeps the new name. If
    one side renamed a directory, git may move a file to a path that neither side has. Such a file
    keeps the merged content.
    """
    paths = list(dict.fromkeys(path for *_, path in sides))
    kept = [*entries_at(git, theirs, paths)]
    known = _with_parents(path for *_, path in (*entries_at(git, ours, paths), *kept))
    meant = [path for path in paths if path in known]
    invented = [f"{path}~{each}" for path in paths for each in (ours, theirs)]
    gone = [path for *_, path in entries_at(git, tree, [*meant, *invented])]
    lines = [f"0 {'0' * len(tree)}\t{path}" for path in gone]
    back = _at_old_paths(git, tree, ours, theirs, kept)
    entries = (*_at_merged_paths(sides, kept), *back, *kept)
    lines += [f"{mode} {name}\t{path}" for mode, name, path in entries]
    return edited_tree(git, tree, with_nul(lines))


def _at_old_paths(
    git: Git, tree: str, ours: str, theirs: str, kept: Sequence[Entry]
) -> Iterator[Entry]:
    """Yield the ``theirs`` version of each file that ``ours`` renamed to a path in ``kept``.

    The entry in ``kept`` occupies the new path. Therefore the version is yielded with the path from
    before the rename, so that the version is not lost.
    """
    places = {path for *_, path in kept}
    above = _with_parents(places)
    base = git.ask("merge-base", ours, theirs)
    how = ("-r", "-z", "-M", "--name-status", "--diff-filter=R")
    fields = git.run("diff-tree", *how, base, ours).fields if base and places else []
    for before, after in zip(fields[1::3], fields[2::3], strict=True):
        taken = after in above or not places.isdisjoint(_with_parents([after]))
        if taken and not any(entries_at(git, tree, [before])):
            yield from entries_at(git, theirs, [before])


def _at_merged_paths(sides: Sequence[Side], kept: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the ``theirs`` version of each conflicting file, at the path in ``sides``.

    A file is omitted if ``kept`` has an entry at this path.
    """
    above = _with_parents(path for *_, path in kept)
    for mode, blob, stage, path in sides:
        if stage == 3 and path not in above:
            yield mode, blob, path


def entries_at(git: Git, tree: str, paths: Sequence[str]) -> Iterator[Entry]:
    """Yield the entries of ``tree`` at ``paths``; for a directory, the entries below it."""
    few, places = len(paths) <= MOST_NAMED, frozenset(paths)
    listed = git.run("ls-tree", "-r", "-z", "--full-tree", tree, "--", *(paths if few else ()))
    for field in listed.fields:
        words, path = field.split("\t", 1)
        mode, _, name = words.split(" ")
        if few or not places.isdisjoint(_with_parents([path])):
            yield mode, name, path


def _with_parents(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


_MARKER_FOUND = ": leftover conflict marker"
_ONLY_MARKERS = "core.whitespace=-blank-at-eol,-blank-at-eof,-space-before-tab"


def marked_lines(git: Git, start: str, end: str, *paths: str) -> list[tuple[str, str]]:
    """Return the conflict markers that ``end`` has and ``start`` lacks.

    Each item has the path of the file and the number of the line.
    """
    how = ("-c", _ONLY_MARKERS, "diff-tree", "--check", "-r")
    shown = git.run(*how, start, end, "--", *paths, accept=(0, 2))
    found = (line for line in os.fsdecode(shown.out).splitlines() if line.endswith(_MARKER_FOUND))
    places = (line.removesuffix(_MARKER_FOUND).rpartition(":") for line in found)
    return [(path, number) for path, _, number in places]
