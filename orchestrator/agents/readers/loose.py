"""Values out of JSON that may hold anything: what is not of the kind asked for is not there."""

import json
import math
from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]

#: No count of tokens or steps is larger; what is, is damage.
MAX_COUNT = 2**53
LINE_CHARS = 200


def parsed(line: str) -> Object | None:
    """The JSON object that a line is; None for anything else. NaN and infinities become null."""
    text = line.strip()
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def dig(value: object, *keys: str) -> Any:
    """What lies below ``keys``; None where the way ends early."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def text(value: object, *keys: str) -> str:
    """A string that can be written anywhere: half of a surrogate pair becomes "?"."""
    found = dig(value, *keys)
    if not isinstance(found, str):
        return ""
    return found if found.isascii() else found.encode("utf-8", "replace").decode()


def count(value: object, *keys: str) -> int | None:
    """A whole number from zero on."""
    found = amount(value, *keys)
    return int(found) if found is not None and found <= MAX_COUNT else None


def amount(value: object, *keys: str) -> float | None:
    """A finite number from zero on."""
    found = dig(value, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    # An int of hundreds of digits cannot be made a float.
    if isinstance(found, int) and found > MAX_COUNT:
        return None
    return float(found) if math.isfinite(found) and found >= 0 else None


def flag(value: object, *keys: str) -> bool | None:
    found = dig(value, *keys)
    return found if isinstance(found, bool) else None


def objects(value: object, *keys: str) -> list[Object]:
    """The objects in a list; all else in it is left out."""
    found = dig(value, *keys)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def entries(value: object, *keys: str) -> list[tuple[str, Object]]:
    """The objects in an object, by name."""
    found = dig(value, *keys)
    if not isinstance(found, Mapping):
        return []
    return [(name, each) for name, each in found.items() if isinstance(each, Mapping)]


def texts(value: object, *keys: str) -> list[str]:
    """The strings in a list."""
    found = dig(value, *keys)
    return (
        [text(each) for each in found if isinstance(each, str)] if isinstance(found, list) else []
    )


def dumped(value: object) -> str:
    """As JSON; empty when it is nested too deep for that."""
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return ""


def one_line(words: str, limit: int = LINE_CHARS) -> str:
    """Fit for a log: no line ends, no control characters, at most ``limit`` characters."""
    line = " ".join(words[: 4 * limit].split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def plain_error(words: str) -> str:
    """The message inside of the JSON that an error of its API is."""
    start, end = words.find("{"), words.rfind("}")
    inner = parsed(words[start : end + 1]) if 0 <= start < end else None
    return text(inner, "error", "message") or words


#: What a tool was used with is best told by the first of these that it has.
_TELLING = ("command", "file_path", "filePath", "path", "pattern", "query", "url", "prompt", "task")


def summary(arguments: object) -> str:
    """What a tool is used with, in one line."""
    if not isinstance(arguments, Mapping):
        return one_line(text(arguments))
    told = (text(arguments, key) for key in (*_TELLING, *map(str, arguments)))
    return one_line(next(filter(None, told), ""))
