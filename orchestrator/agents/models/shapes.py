"""Reading what a server sent as if it could be anything: wrong types become nothing."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

#: Above this a count of tokens is nonsense.
_MOST = 10**12


def decoded(body: bytes) -> object:
    """The JSON value; raise ValueError for everything that is none."""
    try:
        return json.loads(body.decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def text(value: object) -> str:
    """Without half characters, which no file or terminal takes."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode("utf-8")


def number(value: object) -> float | None:
    """A finite number that is not negative, also when it came as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def tokens(value: object) -> int | None:
    """A count of tokens; None when it cannot be one."""
    if isinstance(value, str):
        return None
    found = number(value)
    return None if found is None or found > _MOST else int(found)
