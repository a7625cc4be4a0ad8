"""Text from workers and users without anything a terminal or a reader could be fooled with."""

import re

#: ECMA-48: CSI, then OSC, DCS, SOS, PM and APC up to their end, then any other escape.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
#: Control characters but for tab and newline; characters that turn the direction of writing;
#: the byte order mark.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WHITE = re.compile(r"\s+")


def plain(text: str) -> str:
    """Lines end with a newline; control characters and terminal sequences are gone.

    The result can be encoded as UTF-8. Idempotent.
    """
    # The usual case, by far the fastest to check.
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCE.sub("", _LINE_END.sub("\n", text))
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def one_line(text: str, limit: int = 200) -> str:
    """Plain text on one line, of at most ``limit`` characters."""
    # No more than could be shown is looked at: a worker may leave megabytes.
    line = _WHITE.sub(" ", plain(text[: 10 * limit])).strip()
    cut = len(line) > limit or (len(text) > 10 * limit)
    return line[: limit - 1].rstrip() + "…" if cut else line


def bounded(text: str, limit: int) -> str:
    """The start of a text, cut after a whole line where there is one."""
    if len(text) <= limit:
        return text
    start = text[: max(0, limit)]
    lines, newline, _ = start.rpartition("\n")
    return lines if newline else start
