"""Measures the columns that text takes on a terminal, and cuts text to a number of columns."""

import re
import unicodedata

_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
_RESET = "\x1b[0m"
_MARK = "..."
#: Variation selector 16, which requests the wide form of the preceding character.
_EMOJI_FORM = "\ufe0f"


def columns(text: str) -> int:
    """Return the number of terminal columns that a line takes. Colors take no columns."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    return sum(map(_width, _STYLE.sub("", text)))


def _width(character: str) -> int:
    if character == _EMOJI_FORM or unicodedata.east_asian_width(character) in "WF":
        return 1 if character == _EMOJI_FORM else 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1


def fit(text: str, most: int) -> str:
    """Return a line cut to ``most`` columns. A cut line ends with ``...``, and has no colors."""
    if columns(text) <= most:
        return text
    free_columns = max(0, most - len(_MARK))
    pieces: list[str] = []
    for piece in _STYLE.split(text):
        if _STYLE.fullmatch(piece):
            pieces.append(piece)
            continue
        for character in piece:
            free_columns -= _width(character)
            if free_columns < 0:
                reset = _RESET if any(map(_STYLE.fullmatch, pieces)) else ""
                return "".join(pieces) + reset + _MARK[:most]
            pieces.append(character)
    return "".join(pieces)


def padded(text: str, width: int) -> str:
    return text + " " * max(0, width - columns(text))
