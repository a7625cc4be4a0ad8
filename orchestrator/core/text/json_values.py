"""Reads values from untrusted JSON. A value of the wrong kind counts as missing."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]

#: Largest plausible number of tokens or steps. A larger number is an error in the data.
MAX_COUNT = 2**53
#: From this number on, a float does not store every integer exactly.
INEXACT_FROM = 2.0**53
#: Maximum digits of an integer. Python's own limit is higher, and its message is about Python.
MOST_DIGITS = 4000


def parsed(line: str) -> Object | None:
    """Return the JSON object in a line; None for anything else. NaN and infinities become null."""
    text = line.strip()
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def value_in(content: str | bytes) -> Any:
    """Return the JSON value that is the whole content; None if the content is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def object_in(content: str | bytes | None) -> dict[str, Any]:
    """Return the JSON object that is the whole content; an empty object for any other content."""
    value = value_in(content or b"{}")
    return value if isinstance(value, dict) else {}


def decoded(body: bytes) -> object:
    """Return the JSON value of a body. Raise ValueError if the body is not JSON."""
    try:
        return json.loads(body.decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def dig(value: object, *keys: str) -> Any:
    """Return the value at the path ``keys`` in nested objects; None if a key is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def mapping(value: object, *keys: str) -> dict[str, Any]:
    """Return the object at the path ``keys``; an empty object for any other value."""
    inner = dig(value, *keys)
    return inner if isinstance(inner, dict) else {}


def sequence(value: object, *keys: str) -> list[Any]:
    """Return the list at the path ``keys``; an empty list for any other value."""
    inner = dig(value, *keys)
    return inner if isinstance(inner, list) else []


def text(value: object, *keys: str) -> str:
    """Return the string at the path ``keys``; "" for any other value.

    A lone surrogate becomes "?".
    """
    inner = dig(value, *keys)
    if not isinstance(inner, str):
        return ""
    return inner if inner.isascii() else inner.encode("utf-8", "replace").decode()


def count(value: object, *keys: str) -> int | None:
    """Return the non-negative number at the path ``keys``, rounded down.

    Return None for any other value, and for a number above ``MAX_COUNT``.
    """
    quantity = amount(value, *keys)
    return int(quantity) if quantity is not None and quantity <= MAX_COUNT else None


def amount(value: object, *keys: str) -> float | None:
    """Return the finite, non-negative number at the path ``keys``.

    Return None for any other value, and for an integer above ``MAX_COUNT``.
    """
    inner = dig(value, *keys)
    if isinstance(inner, bool) or not isinstance(inner, int | float):
        return None
    # An int of hundreds of digits cannot be converted to a float.
    if isinstance(inner, int) and inner > MAX_COUNT:
        return None
    return float(inner) if math.isfinite(inner) and inner >= 0 else None


def number(value: object) -> float | None:
    """Return a non-negative number as a float; None for any other value.

    A string that contains such a number is accepted, too.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return amount(value)


def flag(value: object, *keys: str) -> bool | None:
    inner = dig(value, *keys)
    return inner if isinstance(inner, bool) else None


def objects(value: object, *keys: str) -> list[Object]:
    """Return the objects in the list at the path ``keys``. Other elements are omitted."""
    inner = dig(value, *keys)
    return [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []


def entries(value: object, *keys: str) -> list[tuple[str, Object]]:
    """Return the entries of the object at the path ``keys``.

    Entries are omitted if their values are not objects.
    """
    inner = dig(value, *keys)
    if not isinstance(inner, Mapping):
        return []
    return [(name, each) for name, each in inner.items() if isinstance(each, Mapping)]


def texts(value: object, *keys: str) -> list[str]:
    """Return the strings in the list at the path ``keys``. Other elements are omitted."""
    inner = dig(value, *keys)
    return (
        [text(each) for each in inner if isinstance(each, str)] if isinstance(inner, list) else []
    )


def values_in(text: str, openings: str, most_starts: int) -> Iterator[tuple[int, Any]]:
    """Yield each JSON value in a text as a pair: the value's length in characters, and the value.

    Values inside another value are omitted.

    ``openings``: characters with which a value begins: ``{`` for objects, ``[`` for lists.
    ``most_starts``: maximum number of such characters at which the function tries to read a value.
    """
    decoder, position = json.JSONDecoder(), 0
    for _ in range(most_starts):
        starts = [start for each in openings if (start := text.find(each, position)) >= 0]
        if not starts:
            return
        position = min(starts)
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            continue
        yield end - position, value
        position = end


def dumped(value: object) -> str:
    """Return the value as JSON; "" if it is nested too deeply."""
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return ""


def strict_json(
    raw: bytes, deepest: int, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Return the JSON value in ``raw``, which is text in UTF-8.

    A whole number with a decimal point, such as 5.0, becomes an int, because some programs write
    every number with a decimal point.

    ``pairs`` builds each JSON object from its pairs of name and value. Raise ValueError for invalid
    JSON, or RecursionError for a value that is nested deeper than ``deepest``.
    """
    value = json.loads(
        raw.decode("utf-8-sig"),
        object_pairs_hook=pairs,
        parse_int=_integer,
        parse_float=_number,
        parse_constant=_no_constant,
    )
    _check_depth(value, deepest)
    return value


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits; the maximum is {MOST_DIGITS}")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < INEXACT_FROM else value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _check_depth(value: object, remaining: int) -> None:
    if remaining < 0:
        raise RecursionError
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        if isinstance(each, dict | list):
            _check_depth(each, remaining - 1)
