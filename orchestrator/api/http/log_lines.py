"""Parts of a log: a range of bytes, lines by number, and lines with a text."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK_BYTES = 4 * 1024 * 1024
#: Numbers of lines in one answer.
MOST_FOUND = 1000


@dataclass(frozen=True, slots=True)
class FoundLines:
    #: Numbers of the first lines with the text, from 1.
    lines: list[int]
    #: Number of all lines with the text.
    total: int


def search(opened: BinaryIO, text: str) -> FoundLines:
    """Return the lines that have a text; the case of ASCII letters is ignored."""
    wanted = text.encode("utf-8", "replace").lower()
    found: list[int] = []
    total, before = 0, 0
    for block in _whole_lines(opened):
        lowered = block.lower()
        counted, line = 0, before
        at = lowered.find(wanted)
        while at >= 0:
            line += lowered.count(b"\n", counted, at)
            counted = at
            total += 1
            if len(found) < MOST_FOUND:
                found.append(line + 1)
            end = lowered.find(b"\n", at)
            at = lowered.find(wanted, end) if end >= 0 else -1
        before += lowered.count(b"\n")
    return FoundLines(found, total)


def lines_between(opened: BinaryIO, first: int, last: int, most_bytes: int) -> bytes:
    """Return the lines with these numbers, from 1, cut after ``most_bytes``."""
    parts: list[bytes] = []
    number = 1
    for block in _whole_lines(opened):
        lines = block.split(b"\n")
        # What follows the last line end is no line, unless the log ends there without one.
        ended = lines.pop() == b""
        count = len(lines) + (not ended)
        if number + count > first:
            parts.append(_between(block, lines, first - number, last - number))
        number += count
        if number > last or sum(map(len, parts)) >= most_bytes:
            break
    return b"".join(parts)[:most_bytes]


def _between(block: bytes, lines: list[bytes], first: int, last: int) -> bytes:
    """Return the lines of a block from ``first`` to ``last``, which count from 0."""
    start = sum(len(line) + 1 for line in lines[: max(0, first)])
    end = sum(len(line) + 1 for line in lines[: last + 1]) if last < len(lines) else len(block)
    return block[start:end]


def _whole_lines(opened: BinaryIO) -> Iterator[bytes]:
    """Yield the content in blocks that end with a line, as far as lines are not longer."""
    rest, offset = b"", 0
    while piece := os.pread(opened.fileno(), BLOCK_BYTES, offset):
        offset += len(piece)
        block = rest + piece
        end = block.rfind(b"\n") + 1
        if end:
            yield block[:end]
        rest = block[end:]
    if rest:
        yield rest
