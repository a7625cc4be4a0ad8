"""Formats text for its place: cut to a length, on one line, or fenced in Markdown."""

import re

_TICKS = re.compile("`+")


def cut(text: str, most: int, mark: str = "...") -> str:
    """Return at most ``most`` characters; a longer text ends with ``mark``."""
    if len(text) <= most:
        return text
    return text[: max(0, most - len(mark))].rstrip() + mark


def cut_middle(text: str, half: int, mark: str) -> str:
    """Return the first and the last ``half`` characters; ``mark`` replaces the middle."""
    return text if len(text) <= 2 * half else f"{text[:half]}{mark}{text[-half:]}"


def cut_bytes(text: str, most: int) -> str:
    """Return the beginning of a text: whole characters, at most ``most`` bytes as UTF-8."""
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore")


def one_line(text: str) -> str:
    """Replace every run of blanks and line ends by one blank, and strip both ends."""
    return " ".join(text.split())


def fence(text: str, language: str = "") -> str:
    """Return a code block of Markdown that no line of the text can end."""
    line = ticks(text, 3)
    return f"{line}{language}\n{text}\n{line}"


def ticks(text: str, least: int = 1) -> str:
    """Return ``least`` backticks, or more if the text has as many in a row."""
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    return "`" * max(least, longest + 1)
