"""Parses comments on lines of code, which people write in an option, in a file, or in a diff.

The *location* of a comment has the path, the line numbers, and the side of the diff. The side is
``old`` for a line of the commit from which the worker started, otherwise ``new``.
"""

import re
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.lazy_dataclass import dataclass

Comment = dict[str, Any]

#: Forms: ``PATH:LINE: text``, ``PATH:LINE-LINE: text``, and ``PATH:old:LINE: text``.
_COMMENT_START = re.compile(
    r"(?P<path>\S.*?):(?:(?P<side>old|new):)?(?P<line>\d+)(?:-(?P<end>\d+))?:(?P<text>.*)"
)
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
#: Prefix of the lines in a diff that explain to the user how to write comments.
EXPLANATION = "#:"
#: Prefix of the lines that a user adds to a diff as comments.
COMMENT = "#"


@dataclass
class Comments:
    #: Comments on lines.
    on_lines: list[Comment] = field(default_factory=list)
    #: Comment on the whole change; empty: none.
    summary: str = ""

    def add(self, other: "Comments") -> None:
        self.on_lines += other.on_lines
        self.summary = "\n\n".join(filter(None, (self.summary, other.summary)))


def comment_of_option(text: str) -> Comment:
    """Parse ``text``, the value of ``--comment PATH:LINE:TEXT``.

    Raise InvalidRequest if ``text`` has another form.
    """
    match = _COMMENT_START.fullmatch(text.partition("\n")[0])
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
        if match := _COMMENT_START.fullmatch(line):
            blocks.append((match, [match["text"]]))
        else:
            blocks[-1][1].append(line)
    summary = "\n".join(blocks[0][1]).strip()
    return Comments([_comment(start, lines) for start, lines in blocks if start], summary)


def _comment(start: re.Match[str], lines: list[str]) -> Comment:
    line = int(start["line"])
    return {
        "path": start["path"],
        "side": start["side"] or "new",
        "line": line,
        "end_line": int(start["end"] or line),
        "text": "\n".join(lines).strip(),
    }


def comments_of_diff(text: str) -> Comments:
    """Parse the comments of an edited diff: lines that begin with ``#``.

    A comment refers to the previous line of the diff. A comment above the first line of code refers
    to the whole change.
    """
    comments = Comments()
    for location, lines in _comments_by_location(text):
        comment_text = "\n".join(lines).strip()
        if not comment_text:
            continue
        if location is None:
            comments.add(Comments(summary=comment_text))
        else:
            comments.on_lines.append({**location, "text": comment_text})
    return comments


def _comments_by_location(text: str) -> Iterator[tuple[Comment | None, list[str]]]:
    """Yield (location, lines) for the start of a diff, and for each line of the diff.

    ``location``: location of the diff's line. A line between hunks has the location of the previous
    hunk's last line. Before the first hunk, ``location`` is None. ``lines``: lines of the comment
    that follows; [] if no comment follows.
    """
    location: Comment | None = None
    lines: list[str] = []
    reader = _DiffReader()
    for line in text.splitlines():
        if line.startswith(EXPLANATION):
            continue
        if line.startswith(COMMENT):
            lines.append(line.removeprefix(COMMENT).removeprefix(" "))
            continue
        yield location, lines
        lines, location = [], reader.read(line) or location
    yield location, lines


class _DiffReader:
    """Reads a diff line by line. Tracks the current file, and the line numbers of both sides."""

    def __init__(self) -> None:
        self._paths = {"old": "", "new": ""}
        #: Number of the next line, by side.
        self._lines = {"old": 0, "new": 0}
        #: Number of lines that remain in the current hunk, by side.
        self._remaining = {"old": 0, "new": 0}

    def read(self, line: str) -> Comment | None:
        """Read the next line of the diff.

        If the line is in a hunk, return its location: a comment without text. Otherwise return
        None.
        """
        if hunk := _HUNK.match(line):
            self._lines = {"old": int(hunk[1]), "new": int(hunk[3])}
            self._remaining = {"old": int(hunk[2] or 1), "new": int(hunk[4] or 1)}
            return None
        if not any(self._remaining.values()):
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
        location: Comment = {
            "path": self._paths[last],
            "side": last,
            "line": number,
            "end_line": number,
        }
        for side in sides:
            self._lines[side] += 1
            self._remaining[side] -= 1
        return location


def _path_in_header(path: str) -> str:
    # Git quotes a path with special characters.
    path = path.rstrip("\t\r")
    if path.startswith('"') and path.endswith('"'):
        path = path[1:-1].encode().decode("unicode_escape").encode("latin-1").decode("utf-8")
    return path.partition("/")[2] if path.startswith(("a/", "b/")) else path
