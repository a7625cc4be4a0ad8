"""Markdown in which text from the surveyed project has no effect."""

import unicodedata
from collections.abc import Sequence

from orchestrator.core.text.formatting import cut, ticks

#: Maximum length of a piece of text in a report, in characters; longer pieces are cut at the end.
LONGEST_PIECE = 160


def code(text: str) -> str:
    """Return ``text`` as a code span, in which markup, HTML, and links have no effect.

    Control characters, line breaks, and invisible characters become escapes.
    """
    visible = "".join(_visible(letter) for letter in cut(text, LONGEST_PIECE)) or " "
    fence = ticks(visible)
    pad = " " if visible.startswith("`") or visible.endswith("`") else ""
    return f"{fence}{pad}{visible}{pad}{fence}"


def _visible(letter: str) -> str:
    # Control, format, private, and surrogate characters, and separators of lines and paragraphs.
    if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return " " if letter == "\t" else letter.encode("unicode_escape", "replace").decode()
    return letter


def table(heads: Sequence[str], rows: Sequence[Sequence[str | int]]) -> list[str]:
    """Return the lines of a table. Columns of numbers are aligned to the right."""
    body = [
        [f"{value:,}" if isinstance(value, int) else value.replace("|", "\\|") for value in row]
        for row in rows
    ]
    numeric = [isinstance(value, int) for value in rows[0]] if rows else [False] * len(heads)
    rule = ["---:" if is_number else "---" for is_number in numeric]
    return [_row(heads), _row(rule), *(_row(row) for row in body)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
