"""Text from elsewhere, put into a prompt so that it cannot pass for the prompt's own words."""

import re

_RUN = re.compile("`+")


def fence(text: str) -> str:
    """The text between two lines of backticks, more of them than stand anywhere in it."""
    longest = max((len(run) for run in _RUN.findall(text)), default=0)
    line = "`" * max(3, longest + 1)
    return f"{line}\n{text}\n{line}"


def one_line(text: str) -> str:
    return " ".join(text.split())


def cut(text: str, limit_bytes: int) -> str:
    """The beginning of a text, at most so many bytes of UTF-8."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit_bytes:
        return text
    return encoded[:limit_bytes].decode("utf-8", "ignore")
