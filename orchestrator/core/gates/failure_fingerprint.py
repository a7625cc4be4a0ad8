"""Compares the failures of a test in two runs, by the exception's type and message. Pure.

Ignores parts that vary: numbers, durations, addresses, paths, random names, and the order of words.
In a failed assertion, quoted values are ignored, too.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

from orchestrator.core.text.formatting import one_line
from orchestrator.core.text.lazy_pattern import lazy_pattern

#: Number of characters of a message that are compared.
HEAD = 300
_COLORS = lazy_pattern(r"\x1b\[[0-9;]*m")
_ASSERTION = lazy_pattern(r"(?:[\w.$]*(?:AssertionError|AssertionFailedError)\b|assert\b)")
_TYPE = lazy_pattern(
    r"((?:[\w$]+\.)*[\w$]*(?:Error|Exception|Warning|Failed|Exit|Interrupt))(?::|$)"
)
_QUOTED = lazy_pattern(r"[bfru]{0,2}('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`)")
_VARYING: tuple[tuple[re.Pattern[str], str], ...] = (
    (lazy_pattern(r"\b0x[0-9a-fA-F]+\b"), "ADDRESS"),
    (lazy_pattern(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "ID"),
    (lazy_pattern(r"\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b"), "ID"),
    (lazy_pattern(r"(?:file://)?(?:[A-Za-z]:)?(?<![\w.])(?:[\\/][\w.@%+~=-]+){2,}[\\/]?"), "PATH"),
    (lazy_pattern(r"\btmp\w{6,}\b"), "NAME"),
    (lazy_pattern(r"\d+(?:[.,:T-]\d+)*(?:e[+-]?\d+)?", re.IGNORECASE), "0"),
    (lazy_pattern(r"\b0 ?(?:[nmuµ]?s|sec(?:ond)?s?|min(?:ute)?s?|h(?:our)?s?)\b"), "TIME"),
)
_WORDS = lazy_pattern(r"[\w$]+|[^\w\s]+")


def are_alike(one: str, other: str) -> bool:
    """True if two failures have the same exception type and message, without the parts that vary.

    ``one``, ``other``: the failures as text. Each text begins with the exception's type. If one of
    the texts is empty, the result is True.
    """
    if not one or not other:
        return True
    one, other = (_COLORS.sub("", each) for each in (one, other))
    return _exception_type(one) == _exception_type(other) and _compared_words(
        one
    ) == _compared_words(other)


def _exception_type(failure: str) -> str:
    if _ASSERTION.match(failure):
        return "assertion"
    match = _TYPE.match(failure)
    return match[1].rpartition(".")[2] if match else ""


def _compared_words(failure: str) -> Sequence[str]:
    text = one_line(failure[: 4 * HEAD])
    if _ASSERTION.match(text):
        text = _QUOTED.sub("TEXT", text)
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return sorted(set(_WORDS.findall(text[:HEAD])))


#: Times, such as "0.53s", "12:31:07.250", and the remaining time in the output of
#: ``orchestrator spawn``.
_TIMES = lazy_pattern(
    r"\d+(?:\.\d+)?(?= ?(?:[nmµ]?s|seconds?|minutes?|min)\b)"
    r"|\d\d:\d\d:\d\d(?:[.,]\d+)?|(?<=wall_seconds )\d+"
)


def without_times(text: str) -> str:
    """Return the text without durations and clock times, which differ in each run."""
    return _TIMES.sub("", text)


def digest_of(parts: Iterable[str]) -> str:
    """Return a short digest of texts. The order of the texts does not matter."""
    joined = "\0".join(sorted(parts))
    return hashlib.sha256(joined.encode("utf-8", "replace")).hexdigest()[:16]
