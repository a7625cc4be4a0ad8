"""Parses comments on lines of code, which people write in an option, in a file, or in a diff."""

import re
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.lazy_dataclass import dataclass

Comment = dict[str, Any]

#: Forms: ``PATH:LINE: text``, ``PATH:LINE-LINE: text``, and ``PATH:old:LINE: text``. The form with
#: ``old`` is for a line of the commit from which the worker started.
_PLACE = re.compile(
    r"(?P<path>\S.*?):(?:(?P<side>old|new):)?(?P<line>\d+)(?:-(?P<end>\d+))?:(?P<text>.*)"
)
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
#: Prefix of a line in the edited diff that explains how to write comments.
EXPLANATION = "#:"
#: Prefix of a comment's line in the edited diff.
COMMENT = "#"


@dataclass
class Comments:
    found: list[Comment] = field(default_factory=list)
    summary: str = ""

    def add(self, other: "Comments") -> None:
        self.found += other.found
        self.summary = "\n\n".join(filter(None, (self.summary, other.summary)))


def comment_of_option(text: str) -> Comment:
    """Parse ``text``, the value of ``--comment PATH:LINE:TEXT``. Raise InvalidRequest."""
    match = _PLACE.fullmatch(text.partition("\n")[0])
    if match is None:
        raise InvalidRequest(
            f"--comment {text[:60]!r} names no line; write PATH:LINE:TEXT, such as "
            "'src/app.py:12:use the constant'"
        )
    return _comment(match, [match["text"], *text.split("\n")[1:]])


def comments_of_file(text: str) -> Comments:
    """Parse the content of a file: an edited diff, or comments that begin with ``PATH:LINE:``.

    The text before the first comment is a comment on the whole change.
    """
    if any(_HUNK.match(line) for line in text.splitlines()):
        return comments_of_diff(text)
    blocks: list[tuple[re.Match[str] | None, list[str]]] = [(None, [])]
    for line in text.splitlines():
        if match := _PLACE.fullmatch(line):
            blocks.append((match, [match["text"]]))
        else:
            blocks[-1][1].append(line)
    summary = "\n".join(blocks[0][1]).strip()
    return Comments([_comment(place, lines) for place, lines in blocks if place], summary)


def _comment(place: re.Match[str], lines: list[str]) -> Comment:
    line = int(place["line"])
    return {
        "path": place["path"],
        "side": place["side"] or "new",
        "line": line,
        "end_line": int(place["end"] or line),
        "text": "\n".join(lines).strip(),
    }


def comments_of_diff(text: str) -> Comments:
    """Parse the comments of an edited diff: lines that begin with ``#``.

    A comment is about the line of the diff above the comment. A comment before the first file is
    about the whole change.
    """
    comments = Comments()
    for place, lines in _lines_with_comments(text):
        comment_text = "\n".join(lines).strip()
        if not comment_text:
            continue
        if place is None:
            comments.summary = comment_text
        else:
            comments.found.append({**place, "text": comment_text})
    return comments


def _lines_with_comments(text: str) -> Iterator[tuple[Comment | None, list[str]]]:
    """Yield (place, comment below it) for the top of a diff, and for each line.

    ``comment``: the comment's lines; [] if there is no comment. ``place``: None at the top and
    before the first hunk. After a hunk, lines outside of hunks have the place of the hunk's last
    line.
    """
    place: Comment | None = None
    lines: list[str] = []
    walk = _Walk()
    for line in text.splitlines():
        if line.startswith(EXPLANATION):
            continue
        if line.startswith(COMMENT):
            lines.append(line.removeprefix(COMMENT).removeprefix(" "))
            continue
        yield place, lines
        lines, place = [], walk.step(line) or place
    yield place, lines


class _Walk:
    """Reads a diff line by line. Tracks the present file, and the line numbers of both sides."""

    def __init__(self) -> None:
        self._paths = {"old": "", "new": ""}
        self._lines = {"old": 0, "new": 0}
        self._left = {"old": 0, "new": 0}

    def step(self, line: str) -> Comment | None:
        """Read the next line of the diff.

        If the line is in a hunk, return its place: a comment without text, with the line's path,
        side, and number. Otherwise return None.
        """
        if hunk := _HUNK.match(line):
            self._lines = {"old": int(hunk[1]), "new": int(hunk[3])}
            self._left = {"old": int(hunk[2] or 1), "new": int(hunk[4] or 1)}
            return None
        if not any(self._left.values()):
            for side, mark in (("old", "--- "), ("new", "+++ ")):
                if line.startswith(mark):
                    self._paths[side] = _path_in_header(line.removeprefix(mark))
            return None
        return self._in_hunk(line)

    def _in_hunk(self, line: str) -> Comment | None:
        if line.startswith("\\"):
            return None
        sides = {"-": ("old",), "+": ("new",)}.get(line[:1], ("old", "new"))
        last = sides[-1]
        number = self._lines[last]
        place: Comment = {
            "path": self._paths[last],
            "side": last,
            "line": number,
            "end_line": number,
        }
        for side in sides:
            self._lines[side] += 1
            self._left[side] -= 1
        return place


def _path_in_header(path: str) -> str:
    # Git quotes a path with special characters.
    path = path.rstrip("\t\r")
    if path.startswith('"') and path.endswith('"'):
        path = path[1:-1].encode().decode("unicode_escape").encode("latin-1").decode("utf-8")
    return path.partition("/")[2] if path.startswith(("a/", "b/")) else path
