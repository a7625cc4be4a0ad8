"""Patterns of paths, as in ``.gitignore``: ``*.py``, ``src/**``, ``docs/*.md``, ``!src/old/**``."""

import re
from collections.abc import Iterable
from functools import lru_cache


def matches(path: str, patterns: Iterable[str]) -> bool:
    """What the last pattern that fits says. One without a slash fits a name at any depth.

    Where the first one takes something out, everything else is in.
    """
    wanted = tuple(patterns)
    fitting = [each for each in wanted if _compiled(each.removeprefix("!")).fullmatch(path)]
    if fitting:
        return not fitting[-1].startswith("!")
    return bool(wanted) and wanted[0].startswith("!")


def matching(paths: Iterable[str], patterns: Iterable[str]) -> list[str]:
    wanted = tuple(patterns)
    return [path for path in paths if matches(path, wanted)]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    anywhere = "/" not in pattern.rstrip("/")
    text = pattern.strip("/")
    below = "/**" if pattern.endswith("/") else ""
    expression = "".join(_piece(each) for each in _PIECES.findall(text + below))
    return re.compile(f"(?:.*/)?{expression}" if anywhere else expression, re.DOTALL)


_PIECES = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+", re.DOTALL)
_MEANINGS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _piece(text: str) -> str:
    return _MEANINGS.get(text) or re.escape(text)
