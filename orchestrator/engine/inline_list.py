"""A numbered list within a line: ``1) add login 2) add logout``, ``1. a 2. b``, ``a) x b) y``."""

import re
from collections.abc import Iterator, Sequence

#: A decimal ("3.11") has no blank behind its dot, and a call ("f(1)") none before its bracket.
_MARKER = re.compile(
    r"(?:(?<=\s)|^)\(?(?:(?P<number>\d{1,2})(?P<mark>[.)])|(?P<letter>[a-z])\))\s+(?=\S)"
)
_ENDS_SOMETHING = re.compile(r"[.:;,!?)–-]$")
_JOINT = re.compile(r"(?:^|[\s,;]+)(?:(?:and|or)\b\s*)?(?P<then>then)?[\s,;]*$", re.IGNORECASE)
#: Longer than any joint.
_TAIL = 20


def inline_items(text: str) -> tuple[str, list[str]]:
    """What stands before the list, and its items; no items when ``text`` holds no such list."""
    if "```" in text or "~~~" in text:
        return text, []
    found = list(_MARKER.finditer(text))
    for style in (_number_bracket, _number_dot, _letter):
        markers = _counted(text, [(at, n) for at in found if (n := style(at)) is not None])
        items = list(_between(text, markers)) if len(markers) >= 2 else []
        if items and all(items):
            return text[: markers[0].start()].strip(), items
    return text, []


def _number_bracket(marker: re.Match[str]) -> int | None:
    return int(marker["number"]) if marker["mark"] == ")" else None


def _number_dot(marker: re.Match[str]) -> int | None:
    return int(marker["number"]) if marker["mark"] == "." else None


def _letter(marker: re.Match[str]) -> int | None:
    return ord(marker["letter"]) - ord("a") + 1 if marker["letter"] else None


def _counted(text: str, marked: Sequence[tuple[re.Match[str], int]]) -> list[re.Match[str]]:
    """The markers that count from 1 without a gap; others ("Python 3. Then") are words."""
    chosen: list[re.Match[str]] = []
    for index, (marker, number) in enumerate(marked):
        if number != len(chosen) + 1:
            continue
        if number == 1 and marker["mark"] == "." and not _after_an_end(text, marker):
            continue
        again = marked[index + 1] if index + 1 < len(marked) else None
        # "1. Move to Python 2. 2. Test it": the one behind an end is the marker.
        if again and again[1] == number and not _after_an_end(text, marker):
            continue
        chosen.append(marker)
    return chosen


def _after_an_end(text: str, marker: re.Match[str]) -> bool:
    before = text[max(0, marker.start() - _TAIL) : marker.start()].rstrip()
    return marker.start() == 0 or bool(_ENDS_SOMETHING.search(before))


def _between(text: str, markers: Sequence[re.Match[str]]) -> Iterator[str]:
    """The items without the words that join them; "then" goes with the item it introduces."""
    ends = [*(marker.start() for marker in markers[1:]), len(text)]
    then = ""
    for marker, end in zip(markers, ends, strict=True):
        item = text[marker.end() : end].strip()
        head, tail = item[:-_TAIL], item[-_TAIL:]
        joint = _JOINT.search(tail) if end < len(text) else None
        kept = head + tail[: joint.start()] if joint else item
        yield then + kept if kept else ""
        then = "then " if joint and joint["then"] else ""
