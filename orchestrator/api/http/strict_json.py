"""Parses JSON from untrusted callers. Standard library only, because ``orchestrator mcp`` must
start fast.
"""

import json
from collections.abc import Callable
from typing import Any


def strict_json(
    raw: bytes, deepest: int, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Return the JSON value in ``raw``, which is text in UTF-8.

    ``pairs`` builds each JSON object from its pairs of name and value. Raise ValueError for invalid
    JSON, or RecursionError for a value that is nested deeper than ``deepest``.
    """
    text = raw.decode("utf-8-sig")
    value = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant)
    _check_depth(value, deepest)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _check_depth(value: object, left: int) -> None:
    if left < 0:
        raise RecursionError
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        if isinstance(each, dict | list):
            _check_depth(each, left - 1)
