"""Patterns of paths, as in ``.gitignore``: ``*.py``, ``src/**``, ``docs/*.md``."""

import re
from collections.abc import Iterable
from functools import lru_cache


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns fits. One without a slash fits a name at any depth."""
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


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
