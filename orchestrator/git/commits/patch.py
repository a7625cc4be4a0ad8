"""Parses git's patches: the part of each file, and its hunks."""

import re
from collections.abc import Iterator

from orchestrator.core.repository.changes import ChangedHunk

#: No line of a hunk begins with this text, because each begins with a blank, "+", or "-".
_FILE = re.compile(rb"^diff --git ", re.M)
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$", re.S)


def file_patches(patch: bytes) -> list[bytes]:
    """Return the part of each file, in order."""
    starts = [found.start() for found in _FILE.finditer(patch)]
    ends = [*starts[1:], len(patch)][: len(starts)]
    return [patch[start:end] for start, end in zip(starts, ends, strict=True)]


def hunks_of(part: bytes) -> Iterator[ChangedHunk]:
    """Yield the hunks of one file's part; none for a binary file."""
    head: tuple[str | None, ...] = ()
    lines: list[str] = []
    # Only line feeds end lines: text may have other line ends.
    for line in part.decode("utf-8", "replace").removesuffix("\n").split("\n"):
        if line.startswith("@@ ") and (found := _HUNK.match(line)):
            if head:
                yield _hunk(head, lines)
            head, lines = found.groups(), []
        elif head:
            lines.append(line)
    if head:
        yield _hunk(head, lines)


def _hunk(head: tuple[str | None, ...], lines: list[str]) -> ChangedHunk:
    *numbers, text = head
    # A number of lines that is not given is 1.
    old_start, old_lines, new_start, new_lines = (int(each or 1) for each in numbers)
    return ChangedHunk(
        old_start=old_start,
        old_lines=old_lines,
        new_start=new_start,
        new_lines=new_lines,
        header=text or "",
        lines=tuple(lines),
    )
