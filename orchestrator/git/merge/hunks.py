"""Three-way merge of lines, hunk by hunk. White space at the ends of lines is ignored."""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto

from orchestrator.core.lazy_dataclass import dataclass

Lines = Sequence[bytes]
#: Half-open range of lines, counted from 0: the first line, and the line after the last line.
Span = tuple[int, int]
#: Lines of the base, and the lines of the changed text that replace them.
Edit = tuple[Span, Span]

#: First line of a hunk in git's patch.
HEADER = re.compile(rb"(?m)^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


class HunkKind(Enum):
    #: Both sides have the lines of the base.
    SAME = auto()
    OURS = auto()
    THEIRS = auto()
    #: Both sides made the same change.
    BOTH = auto()
    CONFLICT = auto()


@dataclass(frozen=True, slots=True)
class Hunk:
    kind: HunkKind
    base: Span
    ours: Span
    theirs: Span

    @property
    def only_adds(self) -> bool:
        """True if neither side changed or removed a base line in this hunk."""
        return self.base[0] == self.base[1]


def lines_of(content: bytes) -> list[bytes]:
    return _LINE.findall(content)


def key(line: bytes) -> bytes:
    """Return a line in the form in which lines are compared: without white space at its end."""
    return line.rstrip()


def edits_of(diff: bytes) -> list[Edit]:
    """Return the edits in ``diff``: git's patch of one file, without context lines."""
    edits: list[Edit] = []
    for match in HEADER.finditer(diff):
        numbers = header_numbers(match)
        edits.append((_span(*numbers[:2]), _span(*numbers[2:])))
    return edits


def header_numbers(header: re.Match[bytes]) -> Sequence[int]:
    """Return the numbers in a match of HEADER.

    The numbers are the first line and the number of lines in the old file, and then in the new
    file.
    """
    # If a patch gives no number of lines, the number is 1.
    return [1 if each is None else int(each) for each in header.groups()]


def _span(first: int, count: int) -> Span:
    """Return the span of one side of a hunk, from the numbers in its header.

    If the side has no lines, ``first`` is the number of the line before the hunk.
    """
    start = first - 1 if count else first
    return start, start + count


def hunks(base: Lines, ours: Lines, theirs: Lines, sides: Sequence[list[Edit]]) -> Iterator[Hunk]:
    """Yield all hunks of three texts, in order.

    ``sides``: the edits of ``ours`` and the edits of ``theirs``. As in git, edits of both sides
    that touch each other are one conflict.
    """
    left, right = (list(each) for each in sides)
    positions = [0, 0, 0]
    while left or right:
        taken_left, taken_right, (low, high) = _pop_group(left, right)
        if unchanged := low - positions[0]:
            yield _same_hunk(positions, unchanged)
            positions = [each + unchanged for each in positions]
        spans = [
            _mapped(positions[1], (low, high), taken_left),
            _mapped(positions[2], (low, high), taken_right),
        ]
        kind = _kind(bool(taken_left), bool(taken_right), ours, theirs, spans)
        yield Hunk(kind, (low, high), spans[0], spans[1])
        positions = [high, spans[0][1], spans[1][1]]
    if len(base) > positions[0]:
        yield _same_hunk(positions, len(base) - positions[0])


def _pop_group(left: list[Edit], right: list[Edit]) -> tuple[list[Edit], list[Edit], Span]:
    """Remove the next group of edits from both lists. The edits of a group touch each other.

    Return the left side's edits in the group, the right side's edits, and the group's span of base
    lines.
    """
    low = min(each[0][0][0] for each in (left, right) if each)
    taken_left: list[Edit] = []
    taken_right: list[Edit] = []
    high, grows = low, True
    while grows:
        grows = False
        for edits, taken in ((left, taken_left), (right, taken_right)):
            while edits and edits[0][0][0] <= high:
                edit = edits.pop(0)
                taken.append(edit)
                high, grows = max(high, edit[0][1]), True
    return taken_left, taken_right, (low, high)


def _mapped(at: int, base: Span, edits: Sequence[Edit]) -> Span:
    """Return the span of one side that corresponds to the span ``base`` of the base text.

    ``edits``: the side's edits in the span ``base``. ``at``: the first line of the returned span;
    used only if ``edits`` is empty.
    """
    low, high = base
    if not edits:
        return at, at + high - low
    (first_base, first_side), (last_base, last_side) = edits[0], edits[-1]
    start = first_side[0] - (first_base[0] - low)
    return start, last_side[1] + (high - last_base[1])


def _same_hunk(positions: Sequence[int], count: int) -> Hunk:
    base, ours, theirs = ((each, each + count) for each in positions)
    return Hunk(HunkKind.SAME, base, ours, theirs)


def _kind(
    by_us: bool, by_them: bool, ours: Lines, theirs: Lines, spans: Sequence[Span]
) -> HunkKind:
    if not (by_us and by_them):
        return HunkKind.OURS if by_us else HunkKind.THEIRS
    mine, others = ours[slice(*spans[0])], theirs[slice(*spans[1])]
    alike = [*map(key, mine)] == [*map(key, others)]
    return HunkKind.BOTH if alike else HunkKind.CONFLICT
