"""Comments that switch off a tool's findings in a line or a file. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

#: Patterns of suppressing comments, by the word of a command that runs the tool.
_COMMENTS = {
    "ruff": r"#\s*(?:flake8:\s*|ruff:\s*)?noqa\b.*",
    "flake8": r"#\s*(?:flake8:\s*)?noqa\b.*",
    "mypy": r"#\s*(?:type:\s*ignore|mypy:\s*(?:ignore-errors|disable-error-code))\b.*",
    "pyright": r"#\s*(?:type|pyright):\s*ignore\b.*",
    "pylint": r"#\s*pylint:\s*(?:disable|skip-file)\b.*",
    "bandit": r"#\s*nosec\b.*",
    "--cov": r"#\s*pragma:\s*no cover\b.*",
    "eslint": r"(?://|/\*)\s*eslint-disable\b.*",
    "biome": r"(?://|/\*)\s*biome-ignore\b.*",
    "tsc": r"(?://|/\*)\s*@ts-(?:ignore|nocheck|expect-error)\b.*",
    "golangci-lint": r"//\s*nolint\b.*",
    "shellcheck": r"#\s*shellcheck\s+disable\b.*",
}
#: Maximum number of characters of a line that are read.
_MOST = 2000


def comments_of(command: str) -> re.Pattern[str] | None:
    """Return the comments that switch off the tools of a command; None if they have none."""
    tools = (each for each in _COMMENTS if re.search(rf"(?<![\w-]){each}(?![\w-])", command))
    found = [_COMMENTS[each] for each in tools]
    return re.compile("|".join(found)) if found else None


def switched_off(
    comments: re.Pattern[str], now: Mapping[str, str], before: Iterable[str]
) -> Iterator[str]:
    """Yield places of new comments in ``now``, such as ``a.py:3``. ``now``: texts of the files by
    path.

    ``before``: texts of the files before the change. A comment that moved, or whose line changed,
    is not new.
    """
    lines, known = Counter[str](), Counter[str]()
    for text in before:
        for _, line, comment in _found(comments, text):
            lines[line] += 1
            known[comment] += 1
    left = []
    for path, text in now.items():
        for number, line, comment in _found(comments, text):
            if lines[line] > 0:
                lines[line] -= 1
                known[comment] -= 1
            else:
                left.append((f"{path}:{number}", comment))
    for place, comment in left:
        known[comment] -= 1
        if known[comment] < 0:
            yield place


def _found(comments: re.Pattern[str], text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if comment := comments.search(line[:_MOST]):
            yield number, line.strip(), comment[0].strip()
