"""Parses the lines that commits add, from the text of ``Repository.added``."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Maximum bytes of a window: longer lines are read in windows that overlap.
WINDOW_BYTES = 65536
OVERLAP_BYTES = 8192
#: ``@@@ -1,2 -3 +4,5 @@@`` if a merge is compared with two parents.
_HUNK = re.compile(rb"(@@+) (?:-\S+ )+\+(\d{1,9})(?:,(\d{1,9}))? @@")


@dataclass(frozen=True, slots=True)
class Added:
    """A line, or a window of a long line."""

    commit: bytes
    #: Path of the file; empty: the commit's message.
    path: bytes
    number: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that were read together; their common parts are searched once."""

    text: bytes
    lines: tuple[Added, ...]


@dataclass(slots=True)
class Additions:
    """Reads the text in pieces, up to ``most`` bytes in total."""

    most: int
    #: True if the text was longer.
    is_cut: bool = False
    _commit: bytes = b""
    _path: bytes = b""
    _in_message: bool = False
    _number: int = 0
    #: Number of lines of the present hunk that follow.
    _left: int = 0
    #: Number of parents in the comparison: each line begins with so many signs.
    _parents: int = 1

    def blocks(self, pieces: Iterable[bytes]) -> Iterator[Block]:
        rest, read = b"", 0
        for piece in pieces:
            if read >= self.most:
                self.is_cut = True
                break
            read += len(piece)
            whole, end, begun = (rest + piece).rpartition(b"\n")
            if end:
                yield self._block(whole.split(b"\n"))
            rest = begun
            if len(rest) > WINDOW_BYTES:
                # The line continues: it is not counted, and the next window begins with its end.
                yield Block(rest, tuple(self._line(rest, is_whole=False)))
                rest = rest[: self._parents] + rest[-OVERLAP_BYTES:]
        yield self._block([rest])

    def _block(self, lines: Iterable[bytes]) -> Block:
        found = tuple(added for line in lines for added in self._line(line))
        return Block(b"\n".join(added.text for added in found), found)

    def _line(self, line: bytes, *, is_whole: bool = True) -> Iterator[Added]:
        if self._left:
            yield from self._of_file(line, is_whole)
        elif line.startswith(b"@@"):
            self._begin(line)
        elif line.startswith(b"+++ "):
            self._path = line[4:].strip().strip(b'"').removeprefix(b"b/")
        elif line.startswith(b"commit "):
            self._commit, self._path, self._in_message = line[7:], b"", True
        elif line.startswith(b"diff "):
            self._in_message = False
        elif self._in_message:
            yield Added(self._commit, b"", 0, line)

    def _begin(self, head: bytes) -> None:
        found = _HUNK.match(head)
        if found:
            self._parents = len(found[1]) - 1
            self._number = int(found[2]) - 1
            self._left = int(found[3] or 1)

    def _of_file(self, line: bytes, is_whole: bool) -> Iterator[Added]:
        signs = line[: self._parents]
        if b"-" in signs or signs.startswith(b"\\"):
            return
        if signs == b"+" * self._parents:
            yield Added(self._commit, self._path, self._number + 1, line[self._parents :])
        if is_whole:
            self._number += 1
            self._left -= 1
