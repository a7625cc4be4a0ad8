"""Conflicts of two commits: paths, markers in files, and resolution by the version of one side."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.core.repository.repository import FileConflict
from orchestrator.core.text.formatting import listed
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

    At one path, one side may have a file, and the other side a directory or a link. In this case,
    git names the file ``<path>~<commit>``. The file's real path is ``<path>``.
    """
    invented = re.compile(f"~({re.escape(ours)}|{re.escape(theirs)})(_[0-9]+)?$")
    return [_parsed_side(each, invented) for each in fields]


def _parsed_side(text: str, invented: re.Pattern[str]) -> Side:
    numbers, path = text.split("\t", 1)
    mode, blob, stage = numbers.split(" ")
    return mode, blob, int(stage), invented.sub("", path)


def conflicts(sides: Sequence[Side]) -> Iterator[FileConflict]:
    for path in dict.fromkeys(path for *_, path in sides):
        blobs = {stage: blob for _, blob, stage, side_path in sides if side_path == path}
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
    their_entries = [*entries_at(git, theirs, paths)]
    known_paths = _with_parents(
        path for *_, path in (*entries_at(git, ours, paths), *their_entries)
    )
    real = [path for path in paths if path in known_paths]
    invented = [f"{path}~{each}" for path in paths for each in (ours, theirs)]
    removed = [path for *_, path in entries_at(git, tree, [*real, *invented])]
    lines = [f"0 {'0' * len(tree)}\t{path}" for path in removed]
    old_entries = _at_old_paths(git, tree, ours, theirs, their_entries)
    entries = (*_at_merged_paths(sides, their_entries), *old_entries, *their_entries)
    lines += [f"{mode} {name}\t{path}" for mode, name, path in entries]
    return edited_tree(git, tree, with_nul(lines))


def _at_old_paths(
    git: Git, tree: str, ours: str, theirs: str, entries: Sequence[Entry]
) -> Iterator[Entry]:
    """Yield the ``theirs`` version of each file that ``ours`` renamed to an occupied path.

    ``entries`` occupy their paths, so the version cannot be written there. The version is yielded
    with the file's path before the rename, so that it is not lost.
    """
    places = {path for *_, path in entries}
    occupied = _with_parents(places)
    base = git.ask("merge-base", ours, theirs)
    options = ("-r", "-z", "-M", "--name-status", "--diff-filter=R")
    fields = git.run("diff-tree", *options, base, ours).fields if base and places else []
    for before, after in zip(fields[1::3], fields[2::3], strict=True):
        is_occupied = after in occupied or not places.isdisjoint(_with_parents([after]))
        if is_occupied and not any(entries_at(git, tree, [before])):
            yield from entries_at(git, theirs, [before])


def _at_merged_paths(sides: Sequence[Side], entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the ``theirs`` version of each conflicting file, at the path in ``sides``.

    A file is omitted if ``entries`` has an entry at this path.
    """
    occupied = _with_parents(path for *_, path in entries)
    for mode, blob, stage, path in sides:
        if stage == 3 and path not in occupied:
            yield mode, blob, path


def entries_at(git: Git, tree: str, paths: Sequence[str]) -> Iterator[Entry]:
    """Yield the entries of ``tree`` at ``paths``; for a directory, the entries below it."""
    are_few, places = len(paths) <= MOST_NAMED, frozenset(paths)
    listed = git.run("ls-tree", "-r", "-z", "--full-tree", tree, "--", *(paths if are_few else ()))
    for field in listed.fields:
        words, path = field.split("\t", 1)
        mode, _, name = words.split(" ")
        if are_few or not places.isdisjoint(_with_parents([path])):
            yield mode, name, path


def _with_parents(paths: Iterable[str]) -> set[str]:
    all_paths: set[str] = set()
    for path in paths:
        while path and path not in all_paths:
            all_paths.add(path)
            path = path.rpartition("/")[0]
    return all_paths


_MARKER_FOUND = ": leftover conflict marker"
_ONLY_MARKERS = "core.whitespace=-blank-at-eol,-blank-at-eof,-space-before-tab"


def marked_lines(git: Git, start: str, end: str, *paths: str) -> list[tuple[str, str]]:
    """Return the conflict markers that ``end`` has and ``start`` lacks.

    Each item has the path of the file and the number of the line.
    """
    command = ("-c", _ONLY_MARKERS, "diff-tree", "--check", "-r")
    answer = git.run(*command, start, end, "--", *paths, accept=(0, 2))
    lines = (line for line in os.fsdecode(answer.out).splitlines() if line.endswith(_MARKER_FOUND))
    places = (line.removesuffix(_MARKER_FOUND).rpartition(":") for line in lines)
    return [(path, number) for path, _, number in places]


def conflict_markers(git: Git, start: str, end: str) -> list[str]:
    return list(dict.fromkeys(path for path, _ in marked_lines(git, start, end)))


def marker_faults(paths: list[str]) -> list[str]:
    return [f"conflict markers remain in {listed(paths)}"] if paths else []
