"""Patterns of paths, as in ``.gitignore``: ``*.py``, ``src/``, ``docs/[a-c]*.md``, ``!src/old``."""

import re
from collections.abc import Iterable
from functools import lru_cache

from orchestrator.core.text.lazy_pattern import lazy_pattern

#: Characters that a pattern of ``.gitignore`` escapes.
_ESCAPED = "\\*?[]! #"


def matches(path: str, patterns: Iterable[str]) -> bool:
    """True if the patterns select the path.

    The last pattern that matches the path decides. A pattern with ``!`` excludes the path; any
    other pattern selects the path. If no pattern matches, the path is selected only if the first
    pattern begins with ``!``. For example, ``["!*.md"]`` selects ``a.py``. A pattern without a
    slash matches a name at any depth.
    """
    pattern_list = tuple(patterns)
    matched = [each for each in pattern_list if _compiled(each.removeprefix("!")).fullmatch(path)]
    if matched:
        return not matched[-1].startswith("!")
    return bool(pattern_list) and pattern_list[0].startswith("!")


def matching(paths: Iterable[str], patterns: Iterable[str]) -> list[str]:
    pattern_list = tuple(patterns)
    return [path for path in paths if matches(path, pattern_list)]


def literal(path: str) -> str:
    """Return a ``.gitignore`` pattern for ``path``, with every special character escaped."""
    return "".join(f"\\{sign}" if sign in _ESCAPED else sign for sign in path)


def within(path: str, directory: str) -> bool:
    """True if the path equals the directory or is in it.

    Both paths must be absolute, or relative to the same directory.
    """
    return path == directory or path.startswith(f"{directory}/")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a regular expression for the pattern's paths, and for all paths below them.

    The expression uses short atomic groups, so that many stars do not take exponential time.
    """
    anywhere = "(?:.*/)?" if "/" not in pattern.rstrip("/") else ""
    below = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    *chunks, (wild, last) = _chunks(pattern.strip("/"))
    begin = "".join(f"(?>{_DEEP[wild]}{_chunk_pattern(text, ends=False)})" for wild, text in chunks)
    end = f"{_DEEP[wild]}{_chunk_pattern(last, ends=True)}"
    return re.compile(f"{anywhere}{begin}{end}{below}", re.DOTALL)


#: Regular expressions for wild cards that match several directories. Key: the wild card; "" for the
#: start of a pattern, which has no wild card.
_DEEP = {"": "", "**/": "(?:.*?/)??", "**": ".*?"}
_DEEP_WILD = lazy_pattern(r"(\\.|\[[!^]?\]?(?:\\.|[^\]\\])*\])|((?:^|(?<=/))\*\*/|\*\*)", re.DOTALL)


def _chunks(pattern: str) -> list[tuple[str, str]]:
    chunks, wild, begin = [], "", 0
    for each in _DEEP_WILD.finditer(pattern):
        if each[2]:
            chunks.append((wild, pattern[begin : each.start()]))
            wild, begin = each[2], each.end()
    return [*chunks, (wild, pattern[begin:])]


_PIECES = lazy_pattern(
    r"(?P<star>\*)|(?P<one>\?)|\[(?P<not>[!^]?)(?P<class>\]?(?:\\.|[^\]\\])*)\]"
    r"|\\(?P<escaped>.)|(?P<plain>.)",
    re.DOTALL,
)
_MEMBERS = lazy_pattern(r"(?:\\(.)|(.))(?:-(?:\\(.)|([^\\])))?", re.DOTALL)


def _chunk_pattern(text: str, *, ends: bool) -> str:
    parts = [""]
    for piece in _PIECES.finditer(text):
        if piece["star"]:
            parts.append("")
        else:
            parts[-1] += _expression_of(piece)
    first, *after = parts
    tail = f"[^/]*{after.pop()}" if after and ends else ""
    return first + "".join(f"(?>[^/]*?{each})" for each in after) + tail


def _expression_of(piece: re.Match[str]) -> str:
    if piece["one"]:
        return "[^/]"
    if piece["class"]:
        members = "".join(_class_member(each) for each in _MEMBERS.finditer(piece["class"]))
        if piece["not"]:
            return f"[^/{members}]"
        return f"(?!/)[{members}]" if members else "(?!)"
    return re.escape(piece["escaped"] or piece["plain"])


def _class_member(member: re.Match[str]) -> str:
    first, last = member[1] or member[2], member[3] or member[4]
    if not last:
        return re.escape(first)
    return f"{re.escape(first)}-{re.escape(last)}" if first <= last else ""
