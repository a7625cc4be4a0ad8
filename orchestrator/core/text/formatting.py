"""Formats text and times: cuts a text, puts it on one line, or marks it as Markdown code."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

_TICKS = re.compile("`+")
#: Maximum number of texts that ``listed`` names by default.
MOST_LISTED = 5


def cut(text: str, most: int, mark: str = "...") -> str:
    """Return at most ``most`` characters. A text that was cut ends with ``mark``."""
    if len(text) <= most:
        return text
    return text[: max(0, most - len(mark))].rstrip() + mark


def cut_middle(text: str, half: int, mark: str) -> str:
    """Return the first and the last ``half`` characters, with ``mark`` in place of the middle.

    A text of at most twice ``half`` characters is returned unchanged.
    """
    return text if len(text) <= 2 * half else f"{text[:half]}{mark}{text[-half:]}"


def cut_bytes(text: str, most: int) -> str:
    """Return the beginning of a text: whole characters, and at most ``most`` bytes of UTF-8."""
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore")


def one_line(text: str) -> str:
    """Replace each sequence of white space with one blank, and strip both ends."""
    return " ".join(text.split())


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return text such as ``1 worker``, ``1,234 workers``, ``2 processes``.

    ``nouns``: an irregular plural, such as ``directories``.
    """
    regular = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else nouns or regular}"


def listed(texts: Sequence[str], most: int = MOST_LISTED, between: str = ", ") -> str:
    """Join at most ``most`` texts, and add the number of further texts: ``a, b and 3 more``."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return between.join(texts[:most]) + more


#: Qualifier of a sum with unknown parts.
AT_LEAST = "at least "


def dollars(amount: float) -> str:
    """Return a cost such as ``$1.26``; below one dollar with four decimals, such as ``$0.0712``."""
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def rounded_dollars(amount: float, qualifier: str = "") -> str:
    """Return a cost in dollars and cents, such as ``about $0.26`` with the qualifier ``about ``.

    For a cost below one cent, return ``less than $0.01``, or with the qualifier ``at least `` four
    decimals.
    """
    if 0 < amount < 0.01:
        return f"{qualifier}{dollars(amount)}" if qualifier == AT_LEAST else "less than $0.01"
    return f"{qualifier}${amount:,.2f}"


def fence(text: str, language: str = "") -> str:
    """Return the text as a Markdown code block.

    The fences have enough backticks, so that no line of the text ends the block.
    """
    backticks = ticks(text, 3)
    return f"{backticks}{language}\n{text}\n{backticks}"


def ticks(text: str, least: int = 1) -> str:
    """Return enough backticks to enclose the text as Markdown code, and at least ``least``."""
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    return "`" * max(least, longest + 1)


def iso(at: float | None) -> str | None:
    """Format a time in ISO 8601, in UTC with milliseconds. Return None for None."""
    if at is None:
        return None
    # Round to microseconds first, as the API does.
    milliseconds = round(at * 1_000_000) // 1000
    return f"{_formatted_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=64)
def _formatted_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
